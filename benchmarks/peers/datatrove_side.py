"""datatrove's Gopher and C4 filters over the first megabytes of a file: what they keep, and the time.

Run twice: with its own tokenizer, and with words that are runs without a space, as ours are.
"""

import json
import sys
import time

from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.filters import gopher_quality_filter as quality
from datatrove.pipeline.filters import gopher_repetition_filter as repetition


def documents(path, mb):
    size = 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            text = json.loads(line)["text"]
            size += len(text.encode())
            if size > mb * 1e6:
                return
            yield text


def run(texts):
    filters = [GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter()]
    kept = []
    started = time.process_time()
    for text in texts:
        document = Document(text=text, id="")
        kept.append(all(f.filter(document) is True for f in filters))
    return kept, time.process_time() - started


def main():
    texts = list(documents(sys.argv[1], float(sys.argv[2])))
    megabytes = sum(len(t.encode()) for t in texts) / 1e6
    run(texts[:3])  # loads its models
    sides = {}
    for name in ("datatrove", "datatrove, words by spaces"):
        if name != "datatrove":
            for module in (quality, repetition):
                module.split_into_words = lambda text, language: text.split()
        kept, seconds = run(texts)
        sides[name] = {"megabytes": megabytes, "seconds": seconds, "kept": kept}
    print(json.dumps(sides))


if __name__ == "__main__":
    main()
