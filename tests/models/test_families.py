"""Equal numbers with the Hugging Face library, both ways, at tiny random sizes."""

import copy

import pytest
import torch
from torch.testing import assert_close

from luban.models.config import HeadConfig
from luban.models.families import FAMILIES
from luban.models.load import load_model, save_model
from tests.models.references import BERT, CASES, batch, our_answer, reference, their_answer

transformers = pytest.importorskip("transformers", reason="the reference library is not installed")


@pytest.fixture(autouse=True)
def quiet():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.mark.parametrize("case", CASES)
def test_we_read_theirs_with_equal_logits(case, tmp_path):
    theirs, inputs = reference(case), batch(case)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert_close(our_answer(ours, inputs), their_answer(theirs, inputs))
    # Untied, their second bias is stored and never used.
    unused = {"bert untied": ("cls.predictions.bias",), "roberta untied": ("lm_head.bias",)}
    assert ours.load_report.dropped == unused.get(case, ())
    assert ours.load_report.new == ()


@pytest.mark.parametrize("case", CASES)
def test_they_read_ours_with_equal_logits_and_every_key(case, tmp_path):
    theirs, inputs = reference(case), batch(case)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    save_model(ours, tmp_path / "ours")
    again, report = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values()), report
    assert_close(their_answer(again.eval(), inputs), our_answer(ours, inputs))
    assert copy.deepcopy(ours).config == load_model(tmp_path / "ours").config == ours.config


BY_TOKEN = [c for c in CASES if not c.endswith("classes") and c != "llama dynamic"]


@pytest.mark.parametrize("case", BY_TOKEN)
def test_documents_packed_in_a_row_get_the_logits_that_they_give_each_alone(case, tmp_path):
    theirs, inputs = reference(case), batch(case)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    inputs.pop("segments", None)
    packed = inputs | {"tokens": inputs["tokens"][:1], "documents": torch.tensor([[1] * 4 + [2] * 6])}
    if "source_documents" in inputs:
        packed |= {"source": inputs["source"][:1], "source_documents": torch.tensor([[1] * 5 + [2] * 7])}
    elif "source" in inputs:
        packed["source"] = inputs["source"][:1]  # one sound, which both read whole
    together = ours(**packed)[0]
    for number, place, source in ((1, slice(0, 4), slice(0, 5)), (2, slice(4, 10), slice(5, 12))):
        alone = {"tokens": packed["tokens"][:, place], "documents": torch.ones(1, place.stop - place.start)}
        if "source_documents" in packed:
            alone |= {
                "source": packed["source"][:, source],
                "source_documents": torch.ones(1, source.stop - source.start),
            }
        elif "source" in packed:
            alone["source"] = packed["source"]
        assert_close(
            together[place], their_answer(theirs, alone), msg=lambda m, n=number: f"document {n}: {m}"
        )


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_every_tensor_are_equal(case, tmp_path):
    theirs, inputs = reference(case), batch(case)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    our_answer(ours, inputs).square().mean().backward()
    their_answer(theirs, inputs).square().mean().backward()
    grads = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    form, parameters, checked = FAMILIES[ours.config.family].format, dict(ours.named_parameters()), set()
    for name in form.tensors(ours.config):
        key = next((k for k in (name.theirs, name.theirs.removeprefix(form.prefix)) if k in grads), None)
        if key is None or name.ours not in parameters or not name.fits(ours.config):
            continue
        grad = grads[key].t() if name.transpose else grads[key]
        part, n_parts = name.part
        assert_close(parameters[name.ours].grad, grad.chunk(n_parts)[part], msg=lambda m, k=key: f"{k}: {m}")
        checked.add(name.ours)
    reached = {n for n, p in parameters.items() if p.grad is not None}
    assert reached - checked <= {"head.bias"}  # a constant in Marian's own class


ONE_BY_ONE = (
    "gpt2", "llama", "llama yarn", "llama dynamic", "qwen2", "qwen3", "t5", "t5 1.1", "original", "whisper",
)  # fmt: skip


@pytest.mark.parametrize("case", ONE_BY_ONE)
def test_reading_token_by_token_gives_their_logits(case, tmp_path):
    from luban.models.cache import Cache

    theirs, inputs = reference(case), batch(case)
    inputs = {k: v[:1] for k, v in inputs.items() if k != "source_documents"}
    inputs["documents"] = torch.ones_like(inputs["tokens"])
    if inputs.get("source") is not None and not inputs["source"].is_floating_point():
        inputs["source_documents"] = torch.ones_like(inputs["source"])
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    cache, source = Cache(ours.config, 1, 10), {k: v for k, v in inputs.items() if k.startswith("source")}
    if case == "llama dynamic":  # its speeds depend on the longest row so far
        inputs["tokens"], inputs["documents"] = inputs["tokens"][:, :6], inputs["documents"][:, :6]
    steps = []
    for i in range(inputs["tokens"].shape[1]):
        steps.append(ours(inputs["tokens"][:, i : i + 1], cache=cache, **(source if i == 0 else {})))
    assert_close(torch.cat(steps, 1)[0], their_answer(theirs, inputs))


@pytest.mark.parametrize(
    ("case", "auto"),
    [
        ("gpt2", "AutoModelForCausalLM"),
        ("llama", "AutoModelForCausalLM"),
        ("qwen2", "AutoModelForCausalLM"),
        ("bert", "AutoModelForMaskedLM"),
        ("bert classes", "AutoModelForSequenceClassification"),
        ("bert spans", "AutoModelForQuestionAnswering"),
        ("bert trunk", "AutoModel"),
        ("t5", "AutoModelForSeq2SeqLM"),
        ("original", "AutoModelForSeq2SeqLM"),
        ("whisper", "AutoModelForSpeechSeq2Seq"),
    ],
)
def test_the_folder_names_its_own_class(case, auto, tmp_path):
    reference(case).save_pretrained(tmp_path / "theirs")
    save_model(load_model(tmp_path / "theirs"), tmp_path / "ours")
    assert type(getattr(transformers, auto).from_pretrained(tmp_path / "ours")) is type(reference(case))


def test_a_pretraining_checkpoint_lists_the_head_it_loses(tmp_path):
    model = transformers.BertForPreTraining(transformers.BertConfig(**BERT))
    model.save_pretrained(tmp_path)
    dropped = load_model(tmp_path).load_report.dropped
    assert {n.rpartition(".")[0] for n in dropped} == {"bert.pooler.dense", "cls.seq_relationship"}


def test_another_kind_of_head_can_be_replaced(tmp_path):
    transformers.BertForMultipleChoice(transformers.BertConfig(**BERT)).save_pretrained(tmp_path)
    model = load_model(tmp_path, head=HeadConfig(kind="classes", n_classes=2, labels=("a", "b")))
    assert model.load_report.dropped == ("classifier.bias", "classifier.weight") or set(
        model.load_report.dropped
    ) == {"classifier.bias", "classifier.weight"}


def test_names_of_old_norms_are_understood(tmp_path):
    import safetensors.torch

    theirs, inputs = reference("bert"), batch("bert")
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    old = {
        k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for k, v in safetensors.torch.load_file(path).items()
    }
    safetensors.torch.save_file(old | {"bert.embeddings.position_ids": torch.arange(36)}, path)
    ours = load_model(tmp_path)
    assert_close(our_answer(ours, inputs), their_answer(theirs, inputs))
    assert ours.load_report.buffers == ("bert.embeddings.position_ids",)
