"""A tokenizer folder in the Hugging Face layout: load it, use it, save it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from luban.errors import CheckpointError
from luban.files import hash_bytes, read_json, write_json, write_text
from luban.tokenizer.alphabet import BYTES
from luban.tokenizer.bulk import Bulk
from luban.tokenizer.gguf import read_gguf_tokenizer

TOKENIZER, CONFIG, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
TEMPLATE = "chat_template.jinja"
ROLES = ("pad", "bos", "eos", "unk", "cls", "sep", "mask")


class Tokenizer:
    """Token ids from text and back. Text is always text: a special token written in it is spelt out.

    tokenizer.decode(tokenizer.encode("any 文本 <|endoftext|>")) gives the same text back for
    byte-level tokenizers.
    """

    def __init__(self, backend: tokenizers.Tokenizer, config: dict[str, Any]):
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True  # "<|endoftext|>" typed by a user never ends a document
        self._backend, self._config = backend, config
        self._ids = {role: _role_id(backend, config, role) for role in ROLES}

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Return the ids of a text; `special` puts the tokenizer's own template around it.

        Half of a surrogate pair, which is no text, counts as U+FFFD.
        """
        return self._backend.encode(_valid(text), add_special_tokens=special).ids

    def encode_batch(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        """Return the ids of each text, computed on every core; many through tiktoken, where that is equal."""
        valid = [_valid(t) for t in texts]
        if not special and self._bulk.suits(valid):
            return [ids.tolist() for ids in self._bulk.encode(valid)]
        return [e.ids for e in self._backend.encode_batch_fast(valid, add_special_tokens=special)]

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        """Return the ids of each text as uint32, which takes a ninth of the memory of a list."""
        valid = [_valid(t) for t in texts]
        if self._bulk.suits(valid):
            return self._bulk.encode(valid)
        found = self._backend.encode_batch_fast(valid, add_special_tokens=False)
        return [np.array(e.ids, np.uint32) for e in found]

    @cached_property
    def _bulk(self) -> Bulk:
        return Bulk(self._backend)

    def encode_offsets(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Return the ids of each text, without a template, and where in the text each token stands.

        (start, end) count characters. Bytes of one character have all the character's place.
        """
        encoded = self._backend.encode_batch([_valid(t) for t in texts], add_special_tokens=False)
        return [(e.ids, e.offsets) for e in encoded]

    def pair_frame(self) -> list[tuple[int | None, int]]:
        """Return the template around two texts: (id, segment) of each token, None where a text stands."""
        encoded = self._backend.encode("a", "b", add_special_tokens=True)
        frame: list[tuple[int | None, int]] = []
        last = None
        rows = zip(encoded.ids, encoded.type_ids, encoded.sequence_ids, strict=True)
        for id, segment, text in rows:
            if text is None:
                frame.append((id, segment))
            elif text != last:
                frame.append((None, segment))
            last = text
        return frame

    def decode(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """Return the text of ids; bytes that are no whole character become U+FFFD."""
        return self._backend.decode(list(ids), skip_special_tokens=skip_special)

    def token(self, id: int) -> str:
        """Return a token as the vocabulary spells it."""
        return self._backend.id_to_token(id) or f"<no token {id}>"

    def token_id(self, token: str) -> int | None:
        """Return the id of a token as the vocabulary spells it, special ones too."""
        return self._backend.token_to_id(token)

    def token_bytes(self, id: int) -> bytes | None:
        """Return the bytes a byte-level token stands for; None for other kinds of tokenizer.

        A special token stands for no text: b"".
        """
        if not self.is_byte_level:
            return None
        if id in self.special_ids:
            return b""
        token = self.token(id)
        try:
            return bytes(BYTES[c] for c in token)
        except KeyError:  # an added token, spelt as plain text
            return token.encode()

    def piece(self, id: int) -> str:
        r"""Return a token as a person reads it: text, or \xNN for a part of a character."""
        if id in self.special_ids or (data := self.token_bytes(id)) is None:
            return self.token(id)
        return data.decode("utf-8", "backslashreplace")

    @property
    def vocab_size(self) -> int:
        """Tokens in all, added ones included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that stand for no text."""
        added = self._backend.get_added_tokens_decoder()
        return frozenset(i for i, t in added.items() if t.special)

    def check_fits(self, n_rows: int, where: Path) -> None:
        """Refuse a model whose embedding has fewer rows than encoding a text may ask for."""
        roles = {id: f"{role} token" for role, id in self._ids.items() if id is not None}
        words = (i for i in reversed(range(self.vocab_size)) if i not in self.special_ids)
        last = max([*roles, next(words, 0)])
        if last >= n_rows:
            raise CheckpointError(
                f"{where}: the tokenizer's {roles.get(last, 'token')} {self.token(last)!r} has the id "
                f"{last}, and the model {n_rows} rows",
                fix="take the model's own tokenizer, or give it the rows: surgery.vocab_size = "
                f"{self.vocab_size}",
            )

    @cached_property
    def is_byte_level(self) -> bool:
        """Whether tokens are byte sequences, so that every text comes back whole."""
        return '"ByteLevel"' in json.dumps(json.loads(self._backend.to_str()).get("decoder"))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that decides the ids."""
        return hash_bytes(self._backend.to_str().encode())

    @property
    def pad_id(self) -> int | None:
        """Id that fills rows up."""
        return self._ids["pad"]

    @property
    def bos_id(self) -> int | None:
        """Id that begins a text."""
        return self._ids["bos"]

    @property
    def eos_id(self) -> int | None:
        """Id that ends a document."""
        return self._ids["eos"]

    @property
    def unk_id(self) -> int | None:
        """Id of what the vocabulary cannot spell."""
        return self._ids["unk"]

    @property
    def cls_id(self) -> int | None:
        """Id whose vector stands for the whole text in encoders."""
        return self._ids["cls"]

    @property
    def sep_id(self) -> int | None:
        """Id that closes a text in encoders."""
        return self._ids["sep"]

    @property
    def mask_id(self) -> int | None:
        """Id that hides a token."""
        return self._ids["mask"]

    @property
    def chat_template(self) -> str | None:
        """Template that turns a conversation into text; the first, or the one named default, of several."""
        found = self._config.get("chat_template")
        if isinstance(found, list):
            named = {t.get("name"): t.get("template") for t in found if isinstance(t, dict)}
            found = named.get("default") or next(iter(named.values()), None)
        return found if isinstance(found, str) and found.strip() else None

    @property
    def special_tokens(self) -> dict[str, str]:
        """Special tokens as templates name them, such as {"bos_token": "<s>"}."""
        return {f"{role}_token": self.token(id) for role, id in self._ids.items() if id is not None}

    @property
    def backend_json(self) -> str:
        """All that decides the ids, as tokenizer.json has it."""
        return self._backend.to_str()

    @property
    def config(self) -> dict[str, Any]:
        """What tokenizer_config.json says."""
        return dict(self._config)

    def reading_specials(self) -> tokenizers.Tokenizer:
        """Return a copy of the backend that takes a special token in a text for what it is."""
        return tokenizers.Tokenizer.from_str(self._backend.to_str())

    def with_special(self, tokens: Sequence[str]) -> Tokenizer:
        """Return a copy with further special tokens, whose ids follow the vocabulary."""
        backend = tokenizers.Tokenizer.from_str(self._backend.to_str())
        backend.add_special_tokens(list(tokens))
        return Tokenizer(backend, self._config)

    def with_specials(self) -> Tokenizer:
        """Return a copy that takes a special token in a text for what it is: for texts of templates."""
        copy = Tokenizer(self.reading_specials(), self._config)
        copy._backend.encode_special_tokens = False
        return copy

    def save(self, folder: Path) -> None:
        """Write the folder's three tokenizer files."""
        folder.mkdir(parents=True, exist_ok=True)
        names = self.special_tokens
        write_text(folder / TOKENIZER, self._backend.to_str(pretty=False))
        write_json(folder / CONFIG, {**self._config, **names})
        write_json(folder / SPECIAL, names)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer of a folder, one of ours or of a Hugging Face model, or of a GGUF file.

    Special tokens are found in tokenizer_config.json, special_tokens_map.json and config.json, in
    that order.
    """
    if folder.suffix == ".gguf":
        return Tokenizer(*read_gguf_tokenizer(folder))
    path = folder / TOKENIZER
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {TOKENIZER}", fix=_how_to_get_one(folder))
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises nothing narrower
        raise CheckpointError(
            f"{path} is not a tokenizer: {e}", fix="copy the file again from its source"
        ) from e
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    if (folder / TEMPLATE).is_file():
        config = {**config, "chat_template": (folder / TEMPLATE).read_text("utf-8")}
    special = read_json(folder / SPECIAL) if (folder / SPECIAL).is_file() else {}
    model = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    for role in ROLES:
        token, id = f"{role}_token", model.get(f"{role}_token_id")
        id = id[0] if isinstance(id, list) and id else id
        from_model = backend.id_to_token(id) if isinstance(id, int) and id >= 0 else None
        named = config.get(token) or special.get(token) or from_model
        if named:
            config = {**config, token: named}
    return Tokenizer(backend, config)


def _how_to_get_one(folder: Path) -> str:
    if not folder.is_dir():
        return "name a folder that holds one, such as one that `luban tokenizer train` wrote"
    if any((folder / name).exists() for name in ("vocab.txt", "vocab.json", "tokenizer.model")):
        return (
            "its tokenizer is in an older format; convert it once with transformers: "
            f"AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    return "name a folder that holds one, or make one with `luban tokenizer train`"


def _role_id(backend: tokenizers.Tokenizer, config: dict[str, Any], role: str) -> int | None:
    token = config.get(f"{role}_token")
    token = token.get("content") if isinstance(token, dict) else token
    return backend.token_to_id(token) if isinstance(token, str) else None


def _valid(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
