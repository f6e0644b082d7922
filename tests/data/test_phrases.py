from luban.data.phrases import count_runs, count_words


def test_words_are_counted_without_the_commonest_and_phrases_within_a_sentence() -> None:
    found = count_words("The cat sat. The cat sat on 3 mats; it's the keeper's cat!")
    assert found[1] == {"cat": 3, "sat": 2, "mats": 1, "keeper's": 1, "it's": 1}
    assert found[3]["the cat sat"] == 2
    assert "cat sat the" not in found[3]
    assert not [phrase for phrase in found[3] if "." in phrase]


def test_runs_of_chinese_begin_and_end_with_a_word_of_meaning() -> None:
    assert count_runs("灯塔的光，灯塔") == {2: {"灯塔": 2}, 3: {"塔的光": 1}, 4: {"灯塔的光": 1}}
    assert count_runs("no Chinese here") == {2: {}, 3: {}, 4: {}}


def test_runs_do_not_go_across_marks_or_lines() -> None:
    assert "塔光" not in count_runs("灯塔\n光明")[2]
    assert set(count_runs("灯塔。光明")[2]) == {"灯塔", "光明"}
