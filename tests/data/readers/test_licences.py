from pathlib import Path

import pytest

from luban.data.readers.licences import guess_licence, read_licence


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("Permission is hereby granted, free of\n  charge, to any person ... without restriction", "MIT"),
        ("                 Apache License\n           Version 2.0, January 2004", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\n Version 2, June 1991", "GPL-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007", "GPL-3.0"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n Version 2.1, February 1999", "LGPL-2.1"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE Version 3, 19 November 2007", "AGPL-3.0"),
        ("Redistribution and use in source and binary forms ... Neither the name of", "BSD-3-Clause"),
        ("Redistribution and use in source and binary forms ...", "BSD-2-Clause"),
        ("木兰宽松许可证, 第2版\nMulan PSL v2", "MulanPSL-2.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("# SPDX-License-Identifier: Apache-2.0 OR MIT\n", "Apache-2.0 OR MIT"),
        ("all rights reserved", None),
    ],
)
def test_a_licence_is_told_by_its_words(text: str, licence: str | None) -> None:
    assert guess_licence(text) == licence


def test_the_licence_of_a_folder_is_its_licence_files(tmp_path: Path) -> None:
    assert read_licence(tmp_path) is None
    (tmp_path / "COPYING").write_bytes(b"\xff\xfe nothing known")
    (tmp_path / "LICENSE.md").write_text("CC0 1.0 Universal")
    assert read_licence(tmp_path) == "CC0-1.0"
