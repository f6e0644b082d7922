"""Names of persons where the words around them say so: forms, introductions, titles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from luban.privacy.spans import Span, says

_WORD = r"[A-ZÀ-ÖØ-ÞĀ-ŽƠƯΑ-ΩА-Я\u1ea0-\u1ef9](?:[\w’-]|'(?=[A-Z]))*"
_NAME = (
    rf"{_WORD}(?: (?:(?:van|von|de|der|den|di|da|dos|del|la|le|bin|al|el) ){{0,2}}(?:{_WORD}|[A-Z]\.)){{0,3}}"
)
# Each begins with letters that it must have: the engine finds those ten times as fast as one of several.
_TITLED = tuple(
    re.compile(rf"{title}\b\.? ({_NAME})")
    for title in ("M(?:rs?|s|iss|x|adam)", "D(?:r|octor)", "Prof(?:essor)?")
)
_GREETED = tuple(
    re.compile(rf"{greeting},?[ \n]{{1,2}}({_NAME})(?=[,!\n.]|\Z)")
    for greeting in ("Dear", "Sincerely", "Regards", "regards", "H(?:i|ello)")
)
_INTRODUCED = re.compile(rf"ame(?: is|'s) ({_NAME})")
_INTRODUCES = re.compile(r"\b(?:[Mm]y|[Hh]is|[Hh]er|[Tt]heir)(?: [a-z]{2,8}){0,2} n\Z|\b[Mm]y N\Z")
_FIELD = re.compile(rf":\s{{0,2}}[\"']?({_NAME})")
_WIDE_FIELD = re.compile(rf"：\s?[\"']?({_NAME})")
_FIELD_OF = re.compile(
    r"(?:\A|[^\w.])(?:(?:(?:full|first|last|given|family|maiden|patient|customer|client|contact|employee"
    r"|account|card|your|sur)[ _-]?){0,2}(?:name|holder)"
    r"|(?P<role>patient|recipient|applicant|beneficiary|payee|tenant|claimant|insured|signed(?: by)?"
    r"|(?:emergency )?contact(?: person)?)|姓名|联系人|收件人|申请人)[\"']?[ \t]{0,2}\Z",
    re.I,
)
_GIVEN_AFTER = re.compile(rf",[ \t]({_WORD}(?: {_WORD})?)(?=[ \t]*(?:[\n;]|\Z))")
_BODIES = frozenset(
    "Department Service Services Support Sales Office Centre Center Company Inc Ltd LLC Corp Group "
    "University Information Info Us Desk Hotline Form Page Details Care Hospital School Bank".split()
)
_NOT_NAMES = frozenset(
    "The This That These Those A An It He She We They You Is Not All Every No Sir Madam Team Customer "
    "Everyone Friend "
    "Friends Reader Editor User Users Mr Mrs Ms Dr There World God Lord Lady My Your Our Their Hiring "
    "Manager What How "
    "Why When Where Who If In On At And Or But For From To Of Just Only Still Also Because Unknown None "
    "Null True False "
    "File Class Type Please Practices Wishes Regards Practice Western Actor Picture".split()
)
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范"
    "金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章"
    "鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟"
    "艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎"
)
_DOUBLE = (
    "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|令狐|司徒|夏侯|端木|南宫|长孙|宇文|呼延|轩辕|澹台|公冶|宗政|濮阳|淳于|单于|太叔"
    "|申屠|仲孙|钟离|鲜于|闾丘|司空|赫连|独孤|拓跋|完颜|纳兰|西门|东郭|百里|万俟|左丘|梁丘"
)
_HAN = "[\u4e00-\u9fff]"
_ROLES = (
    "患者|病人|客户|申请人|被告人?|原告|当事人|法人|经办人|负责人|监护人|学生|考生|员工|乘客|投保人|委托人|借款人|购买人|报案人|证人"
    "|户名|户主|持卡人|联系人|收件人|收货人|寄件人|嫌疑人|车主"
)
_CHINESE_FIELD = re.compile(
    rf"(?:姓名|名字|署名|开户名|法定代表人|法人代表|代表人|代理人|收款人"
    rf"|付款人|受益人|被保险人|申报人|签署人|户名|{_ROLES})(?:姓名|名字)?"
    rf"(?:[:：]\s{{0,2}}(?P<name>{_HAN}{{1,8}}(?:[·•]{_HAN}{{1,8}}){{1,3}}|(?:{_DOUBLE}){_HAN}{{1,2}}"
    rf"|[{_SURNAMES}]{_HAN}{{1,2}}?(?=[，。,；;、\s（(的男女电手身住]|\Z)|[{_SURNAMES}]{_HAN}{{2}})"
    rf"|[是为叫]\s?(?P<told>(?:{_DOUBLE}|[{_SURNAMES}]){_HAN}{{1,2}})(?=[，。,；;、！!\s（(]|\Z)"
    rf"|[ \t\u3000]{{0,2}}(?P<bare>(?:{_DOUBLE}|[{_SURNAMES}]){_HAN}{{1,2}}?)(?=[，。；、\s（(的]|\Z))"
)
_CHINESE_INTRODUCED = re.compile(
    rf"(?:我叫|我是|名叫|我的名字[是叫]|本人|他叫|她叫|叫做)(?P<name>(?:{_DOUBLE})[\u4e00-\u9fff]{{1,2}}"
    rf"|[{_SURNAMES}][\u4e00-\u9fff]{{1,2}})"
    r"(?=[，。,；;、！!\s（(]|\Z|今年|来自|住)"
)
_CHINESE_TITLED = re.compile(
    rf"(?:\A|[^\u4e00-\u9fff]|[是叫由向给找请和与及对让系])"
    rf"(?P<name>(?:{_DOUBLE})[\u4e00-\u9fff]{{1,2}}|[{_SURNAMES}][\u4e00-\u9fff]{{1,2}})(?=先生|女士|小姐)"
)
_HAN_BEFORE = re.compile(_HAN)
_COUNTING = str.maketrans("", "", "一二三四五六七八九")  # 张三 is a name where a form says so
_CHINESE_TITLES = ("先生", "女士", "小姐")
_NOT_CHINESE = re.compile(
    "[的了是在有不这那我你他她们和与也都很被把为个一二三四五六七八九十年月日时位名]|公司|大学|学院|医院|中学|小学|主任|部门|银行|人员|先生|女士|学生|领导"
    "|安排|单位|单号|管理|安全|方面|方式|万元|高级|成员|成功|关系|关于|时间|全部|常务|应该|应当|易于|解决|路线|项目|包括|祝贺|温度|相关|何人|双方|任何|任务"
)


def find_names(text: str, has_han: bool) -> Iterator[Span]:
    """Yield names of persons; without a model only those that a form, a title or a verb announces."""
    yield from _english(text, has_han)
    if has_han:
        yield from _chinese(text)


def _english(text: str, has_han: bool) -> Iterator[Span]:
    for match in _all(_TITLED, text):
        if not match.start() or not text[match.start() - 1].isalnum():
            yield from _named(match, "title", 0.6 if " " in match.group(1) else 0.5)
    for match in _all(_GREETED, text):
        if not match.start() or not text[match.start() - 1].isalnum():
            yield from _named(match, "greeting", 0.55)
    for match in _INTRODUCED.finditer(text):
        if says(_INTRODUCES, text, match.start(), 24):
            yield from _named(match, "introduction", 0.75)
    for shape in (_FIELD, _WIDE_FIELD) if has_han else (_FIELD,):
        for match in shape.finditer(text):
            yield from _field(text, match)


def _field(text: str, match: re.Match[str]) -> Iterator[Span]:
    cue = _FIELD_OF.search(text, max(0, match.start() - 40), match.start())
    words = match.group(1).split(" ")
    if cue is None or len(words) < 2 and (cue["role"] or cue.group().endswith(('"', "'"))):
        return  # "name": "Linux" is nobody
    if cue["role"] and not _BODIES.isdisjoint(words):
        return
    end = match.end(1)
    if (
        len(words) > 2
        and words[-1] in ("An", "Do", "In")
        and text[end : end + 1] in ("", "\n", ",", ";", "，")
    ):
        yield Span(match.start(1), end, "person", "form field", 0.8)  # Nguyễn Văn An
        return
    for span in _named(match, "form field", 0.6 if cue["role"] else 0.8):
        given = _GIVEN_AFTER.match(text, span.end) if len(words) == 1 else None
        yield replace(span, end=given.end(1)) if given else span


def _all(shapes: Sequence[re.Pattern[str]], text: str) -> Iterator[re.Match[str]]:
    return (match for shape in shapes for match in shape.finditer(text))


def _named(match: re.Match[str], rule: str, sure: float) -> Iterator[Span]:
    start, end = match.span(1)
    words = match.group(1).split(" ")
    while words and words[-1] in _NOT_NAMES:
        end -= len(words.pop()) + 1
    if words and words[0] not in _NOT_NAMES and end - start > 1:
        yield Span(start, end, "person", rule, sure)


def _chinese(text: str) -> Iterator[Span]:
    for rule, sure, shape in (
        ("form field", 0.85, _CHINESE_FIELD),
        ("introduction", 0.75, _CHINESE_INTRODUCED),
    ):
        for match in shape.finditer(text):
            group = match.lastgroup or "name"
            # Without a colon only where the word begins: 客户名单 is no 户名.
            is_inside = group == "bare" and _HAN_BEFORE.match(text, max(0, match.start() - 1), match.start())
            value = match[group] if group == "bare" else match[group].translate(_COUNTING)
            if not is_inside and not _NOT_CHINESE.search(value):
                yield Span(*match.span(group), "person", rule, sure)
    if any(title in text for title in _CHINESE_TITLES):
        for match in _CHINESE_TITLED.finditer(text):
            if not _NOT_CHINESE.search(match.group("name")):
                yield Span(*match.span("name"), "person", "title", 0.6)
