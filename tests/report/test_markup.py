from luban.report.markup import Html, element, join, quoted, table


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "<b>", Html("<i>x</i>")) == "<p>&lt;b&gt;<i>x</i></p>"
    assert join(["a<", None], "&") == "a&lt;&amp;"


def test_attributes_cannot_be_broken_out_of() -> None:
    assert element("p", title='"><script>') == '<p title="&quot;&gt;&lt;script&gt;"></p>'


def test_absent_attributes_are_left_out() -> None:
    assert (
        element("p", id=None, hidden=True, open=False, class_="a", data_x=1)
        == '<p hidden class="a" data-x="1"></p>'
    )


def test_a_text_of_the_data_keeps_its_own_direction_and_language() -> None:
    assert quoted("这部电影很好看") == '<bdi dir="auto" lang="zh" class="quote">这部电影很好看</bdi>'
    assert len(quoted("w" * 9000)) < 500


def test_number_columns_are_marked_in_head_and_body() -> None:
    assert table(("a", "b"), [("x", "1")], numbers=(1,)).count('class="number"') == 2
