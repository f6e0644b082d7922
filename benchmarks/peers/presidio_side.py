"""Presidio's pattern recognisers on texts of standard input, without a model and without network.

One JSON line {"text": ...} a text; answers one line with spans for each, and a last one with CPU seconds.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any


def refuse(*_: Any, **__: Any) -> None:
    raise OSError("no network in this benchmark")


socket.socket.connect = refuse  # type: ignore[method-assign,assignment]

import spacy  # noqa: E402
import tldextract  # noqa: E402
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: E402
from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: E402
from presidio_analyzer.predefined_recognizers import PhoneRecognizer, SpacyRecognizer  # noqa: E402
from spacy.language import Language  # noqa: E402
from spacy.tokens import Doc  # noqa: E402

tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR", "CN")  # its own, and China


@Language.component("lower_lemmas")
def lower_lemmas(doc: Doc) -> Doc:
    for token in doc:  # its words of context are compared with lemmas
        token.lemma_ = token.lower_
    return doc


class Blank(SpacyNlpEngine):
    """Words without a model: no names, which are not asked for here."""

    def __init__(self) -> None:
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}
        self.nlp["en"].add_pipe("lower_lemmas")


def main() -> None:
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.recognizers = [
        r for r in registry.recognizers if not isinstance(r, (SpacyRecognizer, PhoneRecognizer))
    ]
    registry.add_recognizer(PhoneRecognizer(supported_regions=REGIONS))
    engine = AnalyzerEngine(registry=registry, nlp_engine=Blank(), supported_languages=["en"])
    texts = [json.loads(line)["text"] for line in sys.stdin]
    engine.analyze(texts[0], language="en")
    start = time.process_time()
    found = [engine.analyze(text, language="en") for text in texts]
    seconds = time.process_time() - start
    for spans in found:
        print(json.dumps([(s.start, s.end, s.entity_type, s.score) for s in spans]))
    print(json.dumps({"cpu_seconds": seconds}))


if __name__ == "__main__":
    main()
