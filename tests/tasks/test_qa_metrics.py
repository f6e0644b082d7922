"""Exact match and F1 against values worked out by hand from the benchmarks' definitions."""

import pytest

from luban.tasks.qa_metrics import (
    best_threshold,
    cmrc_f1,
    cmrc_units,
    definition,
    exact_match,
    f1,
    language_of,
    longest_run,
    squad_f1,
    squad_plain,
)

EN, ZH = definition("en"), definition("zh")


def test_squad_passes_over_case_punctuation_articles_and_spaces():
    assert squad_plain("  The  U.S.A., an  APPLE! ") == "usa apple"
    assert squad_plain("theatre and another") == "theatre and another"
    assert exact_match("the Cat.", ["A cat"], EN) == 1
    assert exact_match("the cats", ["A cat"], EN) == 0


def test_squad_f1_counts_shared_words_as_often_as_both_have_them():
    # right: on 2 may 2015 (4); said: 2 may 2 may (4); shared: 2, may -> P 2/4, R 2/4
    assert squad_f1("on 2 May 2015", "2 May, 2 May") == pytest.approx(0.5)
    # right: 3 words, said: 1, shared 1 -> P 1, R 1/3 -> F1 1/2
    assert squad_f1("Denver Broncos team", "the Broncos") == pytest.approx(0.5)
    # right: 6 words, said: to be to be; shared: to and be, twice each -> P 1, R 4/6
    assert squad_f1("to be or not to be", "to be to be") == pytest.approx(0.8)
    assert squad_f1("yes", "no") == 0


def test_the_best_of_several_answers_counts():
    assert f1("Denver Broncos", ["Broncos", "Denver Broncos"], EN) == 1
    assert f1("Denver", ["Broncos", "Denver Broncos"], EN) == pytest.approx(2 / 3)


def test_no_answer_is_right_only_where_there_is_none():
    assert (exact_match("", [], EN), f1("", [], EN)) == (1, 1)
    assert (exact_match("x", [], EN), f1("x", [], EN)) == (0, 0)
    assert (exact_match("", ["x"], ZH), f1("", ["x"], ZH)) == (0, 0)


def test_chinese_is_cut_into_characters_and_the_rest_into_words():
    assert cmrc_units("1997年，在Hong Kong") == ["1997", "年", "在", "hong", "kong"]
    assert cmrc_units("约3,000米(10%)") == ["约", "3,000", "米", "(", "10", "%", ")"]
    assert cmrc_units("光荣和ω-force") == ["光", "荣", "和", "ωforce"]


def test_cmrc_overlap_is_the_longest_run_that_both_have_not_a_subsequence():
    assert longest_run("abcxde", "abcyde") == 3
    assert longest_run("abc", "xyz") == 0
    # right: 北 京 大 学 (4); said: 北 京 的 大 学 (5); longest run 2 -> P 2/5, R 2/4
    assert cmrc_f1("北京大学", "北京的大学") == pytest.approx(2 * (2 / 5) * (2 / 4) / (2 / 5 + 2 / 4))
    assert cmrc_f1("《北京》", "北京。") == 1


def test_cmrc_passes_over_its_own_list_of_punctuation_and_no_other():
    assert exact_match("《战国无双3》", ["战国无双3"], ZH) == 1
    assert exact_match("北京.", ["北京"], ZH) == 0  # an ASCII full stop is not on the list
    assert exact_match("Ab", ["aB"], ZH) == 1


def test_the_language_is_told_from_the_questions():
    assert language_of(["他在哪里？", "MP3是什么？"]) == "zh"
    assert language_of(["Who wrote 红楼梦 in the eighteenth century, and where?"]) == "en"
    assert language_of([]) == "en"


def test_the_threshold_is_where_f1_is_best():
    # answering rows 1 and 2 gains 0.9 and 0.5, row 3 loses 1: the border lies between 2 and 3
    assert best_threshold([5.0, 3.0, 1.0], [0.9, 0.5, 0.0], [0.0, 0.0, 1.0]) == pytest.approx(2.0)
    assert best_threshold([1.0], [1.0], [0.0]) < 1.0
    assert best_threshold([1.0], [0.0], [1.0]) > 1.0
    assert best_threshold([], [], []) == 0.0


def test_a_threshold_never_parts_equal_margins():
    found = best_threshold([2.0, 2.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0])
    assert found > 2.0 or found < 2.0
    assert sum(margin >= found for margin in (2.0, 2.0, 1.0)) in (0, 2)
