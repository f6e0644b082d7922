"""The picture of a learning-rate search stands by itself."""

from xml.etree import ElementTree

from luban.report.lr_chart import lr_chart

RATES = [10.0 ** (i / 4 - 6) for i in range(25)]
LOSSES = [8 - i / 8 if i < 18 else 5 + 4 * (i - 17) for i in range(25)]


def drawn(marks: dict[str, float]) -> str:
    return lr_chart(RATES, LOSSES, LOSSES, marks)


def test_it_is_a_whole_file_with_an_axis_in_powers_of_ten():
    root = ElementTree.fromstring(drawn({"suggested": 1e-3, "now": 5e-3}))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [t.text for t in root.iter() if t.tag.endswith("text")]
    assert {"1e-6", "1e-3", "1e0", "suggested: 0.001", "now: 0.005"} <= set(texts)
    assert "suggested 0.001" in next(t.text for t in root.iter() if t.tag.endswith("title"))


def test_nothing_lies_outside_the_picture():
    root = ElementTree.fromstring(drawn({"suggested": 1e-9, "now": 50.0}))
    for line in (t for t in root.iter() if t.tag.endswith("polyline")):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 720
            assert 0 <= y <= 400
    assert all(0 <= float(t.attrib["x1"]) <= 720 for t in root.iter() if t.tag.endswith("}line"))
