from pathlib import Path

from tests.data.readers.reading import read


def pdf(lines: list[str], info: str = "") -> bytes:
    """Return a small PDF with a line of text a page."""
    n = len(lines)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(n))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {n} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, line in enumerate(lines):
        stream = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET" if line else ""
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< {info} >>")
    out, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"trailer\n<< /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return f"{out}xref\n0 {size}\n0000000000 65535 f \n{table}{end}".encode()


def test_a_pdf_gives_the_text_of_its_pages_and_when_it_was_made(tmp_path: Path) -> None:
    info = "/Title (On rivers) /CreationDate (D:20240501083000+01'00')"
    (tmp_path / "a.pdf").write_bytes(pdf(["The first page.", "The second page."], info))
    (found,), rejects = read(tmp_path, carry=("title",))
    assert rejects == []
    assert found.text.split("\n\n")[:2] == ["The first page.", "The second page."]
    assert (found.time, found.extra) == ("2024-05-01T07:30:00Z", {"title": "On rivers"})


def test_a_pdf_without_text_a_broken_and_a_large_one_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf([""]))
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4 nothing more")
    documents, rejects = read(tmp_path)
    assert not documents
    assert [(f, r.partition(":")[0]) for f, _, r in rejects] == [
        ("a.pdf", "no text in it"),
        ("b.pdf", "broken pdf, or one with a password"),
    ]
    (tmp_path / "a.pdf").write_bytes(pdf(["text"]))
    assert "too much to read as a whole" in read(tmp_path / "a.pdf", max_file_bytes=100)[1][0][2]
