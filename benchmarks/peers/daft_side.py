"""daft's normalisation and minhash; the buckets in numpy, as its groupby has lost groups on one machine."""

from __future__ import annotations

import daft
import numpy as np
from daft import col
from near_bands import arguments, finish

N, PERMUTATIONS = 5, 112


def main() -> None:
    folder, out, chinese = arguments()
    text = col("text").normalize(remove_punct=True, lowercase=True, white_space=True)
    if chinese:  # it knows words alone: make one of each character
        text = text.regexp_replace(r"(\p{Han})", " ${1} ").normalize(white_space=True)
    signed = text.minhash(num_hashes=PERMUTATIONS, ngram_size=N, seed=1, hash_function="xxhash")
    table = (
        daft.read_parquet(str(folder / "documents-*.parquet")).select(col("id"), signed.alias("m")).to_arrow()
    )
    ids = table.column("id").to_pylist()
    signatures = np.stack([np.asarray(one) for one in table.column("m").to_pylist()])
    finish(ids, {}, ids, signatures, out)


if __name__ == "__main__":
    main()
