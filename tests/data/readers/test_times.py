import datetime
from typing import Any

import pytest

from luban.data.readers.times import iso_time


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01", "2024-05-01"),
        ("2024-05-01T08:30:00Z", "2024-05-01T08:30:00Z"),
        ("2024/5/1 8:30", "2024-05-01T08:30:00"),
        ("2024年5月1日", "2024-05-01"),
        ("2024", "2024"),
        ("2024-05", "2024-05"),
        ("2024-05-01T08:30:00.123Z", "2024-05-01T08:30:00Z"),
        ("2024-05-01 08:30:00+0800", "2024-05-01T08:30:00+08:00"),
        ("20240501", "2024-05-01"),
        ("D:20240501083000+01'00'", "2024-05-01T08:30:00+01:00"),
        ("Wed, 01 May 2024 08:30:00 GMT", "2024-05-01T08:30:00Z"),
        (1714521600, "2024-05-01T00:00:00Z"),
        (1714521600000, "2024-05-01T00:00:00Z"),
        (2023, "2023"),
        (datetime.date(2024, 5, 1), "2024-05-01"),
        (datetime.datetime(2024, 5, 1, 8, tzinfo=datetime.timezone.utc), "2024-05-01T08:00:00Z"),
        *(
            (value, "")
            for value in ("soon", "2024-13-01", "2024-02-30", "", "12", None, True, float("nan"), [], 7)
        ),
        ("x" * 10_000, ""),
    ],
)
def test_times_become_iso_as_exact_as_they_were(value: Any, expected: str) -> None:
    assert iso_time(value) == expected
