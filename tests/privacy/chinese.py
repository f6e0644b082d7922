"""Chinese sentences with made-up personal data in real formats, and with what only looks like it.

sentences(1, REPORTING) yields (text, [(start, end, type), ...]). Check digits are worked out here, apart from
the code under test. The templates of TUNING were looked at while the rules were written, those of REPORTING not.
"""

import random
from collections.abc import Callable, Iterator, Sequence

Labelled = tuple[str, list[tuple[int, int, str]]]

PLACES = [
    ("北京市", "朝阳区", "110105"), ("上海市", "徐汇区", "310104"), ("广东省深圳市", "南山区", "440305"),
    ("浙江省杭州市", "西湖区", "330106"), ("四川省成都市", "武侯区", "510107"), ("陕西省西安市", "雁塔区", "610113"),
    ("湖北省武汉市", "洪山区", "420111"), ("江苏省南京市", "鼓楼区", "320106"), ("山东省青岛市", "崂山区", "370212"),
    ("辽宁省大连市", "沙河口区", "210204"), ("福建省厦门市", "思明区", "350203"), ("云南省昆明市", "五华区", "530102"),
]  # fmt: skip
ROADS = "中山路 人民大街 解放路 文三路 科技园路 学府路 和平里东街 长江大道 建设路 友谊巷 香港中路 翠湖南路".split()
ESTATES = "阳光花园 锦绣家园 翠园小区 滨江公寓 金桂苑 紫荆小区".split()
SURNAMES = (
    "王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 朱 胡 郭 何 林 高 罗 欧阳 诸葛 司马 郑 谢 韩 唐 冯 曹 彭".split()
)
GIVEN = "伟 芳 娜 敏 静 强 磊 洋 艳 勇 军 杰 娟 涛 明 超 秀兰 霞 平 刚 桂英 志强 建国 晓梅 子涵 雨桐 浩然 欣怡".split()
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")


def digits(r: random.Random, n: int) -> str:
    return "".join(r.choice("0123456789") for _ in range(n))


def luhn(first: str) -> str:
    doubled = [int(c) * (2 if i % 2 == 0 else 1) for i, c in enumerate(reversed(first))]
    return str(-sum(n // 10 + n % 10 for n in doubled) % 10)


def id_card(r: random.Random) -> str:
    born = f"{r.randint(1950, 2008)}{r.randint(1, 12):02}{r.randint(1, 28):02}"
    first = r.choice(PLACES)[2] + born + digits(r, 3)
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    last = "10X98765432"[sum(int(c) * w for c, w in zip(first, weights, strict=True)) % 11]
    return first + (last.lower() if r.random() < 0.3 else last)


def company(r: random.Random) -> str:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    first = "91" + r.choice(PLACES)[2] + "".join(r.choice(alphabet) for _ in range(9))
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
    total = sum(alphabet.index(c) * w for c, w in zip(first, weights, strict=True))
    return first + alphabet[(31 - total % 31) % 31]


def card(r: random.Random) -> str:
    first = r.choice(["622848", "621700", "622202", "621661", "625965"]) + digits(r, r.choice([9, 12]))
    whole = first + luhn(first)
    return " ".join(whole[i : i + 4] for i in range(0, len(whole), 4)) if r.random() < 0.4 else whole


def mobile(r: random.Random) -> str:
    n = "1" + r.choice("3456789") + digits(r, 9)
    spaced = f"{n[:3]} {n[3:7]} {n[7:]}"
    hyphens = spaced.replace(" ", "-")
    return r.choice([n, n, spaced, hyphens, "+86 " + n, "+86" + n, "86-" + n, n.translate(WIDE), "0086 " + n])


def landline(r: random.Random) -> str:
    area = r.choice(["010", "021", "0755", "0571", "028", "029", "0532"])
    n = r.choice("2345678") + digits(r, 7)
    return r.choice([f"{area}-{n}", f"({area}){n}", f"{area} {n}", f"{area}-{n}-{digits(r, 3)}"])


def name(r: random.Random) -> str:
    return r.choice(SURNAMES) + r.choice(GIVEN)


def address(r: random.Random) -> str:
    city, district, _ = r.choice(PLACES)
    road = f"{r.choice(ROADS)}{r.randint(1, 999)}号"
    room = f"{r.randint(1, 30)}栋{r.randint(1, 4)}单元{r.randint(101, 2802)}室"
    return r.choice(
        [city + district + road, city + district + road + r.choice(ESTATES) + room, district + road + room]
    )


def email(r: random.Random) -> str:
    user = r.choice(["zhang.wei", "lihua", "wang_fang", "chen-jie", "liu", digits(r, 9)]) + digits(r, 2)
    return f"{user}@{r.choice(['qq.com', '163.com', 'sina.com.cn', 'mail.tsinghua.edu.cn', 'gmail.com'])}"


def plate(r: random.Random) -> str:
    head = r.choice("京沪粤浙川陕鄂苏鲁辽闽云") + r.choice("ABCDEF") + r.choice(["", "·"])
    green = r.choice("DF") + digits(r, 5)
    return head + r.choice([digits(r, 5), r.choice(LETTERS) + digits(r, 4), digits(r, 3) + "".join(r.sample(LETTERS, 2)), green])  # fmt: skip


def key(r: random.Random) -> str:
    letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    body = "".join(r.choice(letters) for _ in range(36))
    return r.choice(
        ["gh" + "p_" + body, "AK" + "IA" + body[:16].upper().replace("_", "A"), "sk" + "-" + "7" + body]
    )


def password(r: random.Random) -> str:
    return r.choice(["Wx", "Zhang", "Pa!s", "qwE"]) + digits(r, 4) + r.choice(["@xy", "#Km", "abQ"])


def birth(r: random.Random) -> str:
    y, m, d = r.randint(1950, 2008), r.randint(1, 12), r.randint(1, 28)
    return r.choice([f"{y}年{m}月{d}日", f"{y}-{m:02}-{d:02}", f"{y}/{m}/{d}", f"{y}.{m:02}.{d:02}"])


def broken(make: Callable[[random.Random], str]) -> Callable[[random.Random], str]:
    def spoilt(r: random.Random) -> str:
        value = make(r)
        last = value[-1].upper()
        return value[:-1] + r.choice(
            [c for c in "0123456789" if c != last and not (last == "X" and c == "X")]
        )

    return spoilt


def spoilt_card(r: random.Random) -> str:
    first = "6228" + digits(r, 14)
    return first + str((int(luhn(first)) + r.randint(1, 9)) % 10)


MAKERS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "手机": ("phone", mobile), "座机": ("phone", landline), "证": ("id_card", id_card),
    "旧证": ("id_card", lambda r: r.choice(PLACES)[2] + f"{r.randint(40, 99)}{r.randint(1, 12):02}{r.randint(1, 28):02}" + digits(r, 3)),
    "护照": ("passport", lambda r: r.choice(["E" + digits(r, 8), "G" + digits(r, 8), "EJ" + digits(r, 7)])),
    "车": ("licence_plate", plate), "代码": ("company_code", company), "卡": ("bank_card", card),
    "名": ("person", name), "址": ("address", address), "信": ("email", email), "生": ("birth_date", birth),
    "网": ("ip", lambda r: f"{r.choice([36, 114, 223, 192])}.{r.randint(1, 254)}.{r.randint(1, 254)}.{r.randint(1, 254)}"),
    "物": ("mac", lambda r: r.choice(":-").join(f"{r.randint(0, 255):02X}" for _ in range(6))),
    "钥": ("secret", key), "密": ("secret", password),
    "编": ("postcode", lambda r: r.choice(["100", "200", "518", "310", "610"]) + digits(r, 3)),
    # what only looks like it
    "单号": ("", lambda r: r.choice(["", "DD", "SF"]) + f"20{r.randint(20, 26)}{digits(r, 11)}"),
    "坏证": ("", broken(id_card)), "坏卡": ("", spoilt_card), "坏代码": ("", broken(company)),
    "年": ("", lambda r: str(r.randint(1700, 2030))), "价": ("", lambda r: f"{r.randint(1, 99999)}.{digits(r, 2)}"),
    "书": ("", lambda r: f"978-7-{digits(r, 3)}-{digits(r, 5)}-{digits(r, 1)}"),
    "人口": ("", lambda r: f"{r.randint(10, 99)},{digits(r, 3)},{digits(r, 3)}"),
    "版": ("", lambda r: f"{r.randint(1, 9)}.{r.randint(0, 9)}.{r.randint(0, 20)}.{r.randint(0, 9)}"),
    "股": ("", lambda r: r.choice(["600", "000", "300"]) + digits(r, 3)),
    "经纬": ("", lambda r: f"{r.randint(70, 135)}.{digits(r, 6)},{r.randint(20, 50)}.{digits(r, 6)}"),
    "散列": ("", lambda r: "".join(r.choice("0123456789abcdef") for _ in range(40))),
    "日": ("", lambda r: f"{r.randint(2000, 2026)}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"),
}  # fmt: skip

TUNING = [
    "我的手机号是{手机}，有事请打给我。", "联系电话：{座机}，工作日九点到六点。", "请拨打{手机}或{座机}联系客服。",
    "姓名：{名}，身份证号：{证}，电话：{手机}。", "申请人{名}的公民身份号码为{证}。", "老式身份证{旧证}已经失效。",
    "他的护照号码是{护照}，明年到期。", "肇事车辆车牌为{车}，请目击者联系我们。", "统一社会信用代码：{代码}",
    "请把货款汇到银行卡{卡}，户名{名}。", "收货地址：{址}，收件人：{名}，手机{手机}", "我家住在{址}。",
    "有问题发邮件到{信}。", "出生日期：{生}，籍贯山东。", "服务器的IP地址是{网}，端口22。", "网卡的物理地址为{物}。",
    "配置里写着 api_key = \"{钥}\"，请尽快更换。", "WiFi密码：{密}", "通信地址：{址}，邮编：{编}",
    "订单号{单号}已发货，请注意查收。", "身份证号{坏证}校验位不对，系统拒绝。", "卡号{坏卡}无效。", "代码{坏代码}未通过校验。",
    "公元{年}年，这里建起了第一座桥。", "这台电脑售价{价}元。", "这本书的ISBN是{书}。", "全市人口{人口}人。",
    "请升级到版本{版}以上。", "股票代码{股}今日涨停。", "该点坐标为{经纬}。", "提交的哈希是{散列}。", "会议定于{日}召开。",
    "您好，我是{名}，我的邮箱是{信}，电话{手机}。", "昨天下午三点，大家在公园里散步。", "乘客{名}（证件号{护照}）请到登机口。",
]  # fmt: skip
REPORTING = [
    "打我电话吧，{手机}，随时都在。", "前台座机{座机}，转人事部。", "如需退订，请发短信至{手机}。", "报名请致电{座机}，联系人：{名}。",
    "患者姓名：{名}，出生日期：{生}，身份证{证}。", "经查，嫌疑人身份证号码{证}，现已抓获。", "旧身份证号码：{旧证}。",
    "护照{护照}遗失，声明作废。", "停在门口的{车}挡住了通道。", "车主请速来挪车：{车}，电话{手机}。",
    "甲方统一社会信用代码为{代码}，以下简称甲方。", "工资发到尾号前的这张卡：{卡}，谢谢。", "储蓄卡号{卡}，开户名：{名}",
    "快递寄到{址}，别放驿站。", "本人现居住于{址}，特此说明。", "简历请投{信}，谢谢！", "我的生日是{生}，你呢？",
    "登录来源{网}，如非本人操作请修改密码。", "设备{物}已接入路由器。", "令牌是{钥}，不要外传。", "初始密码是{密}，首次登录请修改。",
    "邮政编码：{编}，地址：{址}。", "运单{单号}正在派送。", "输入的证件号{坏证}有误。", "测试用的假卡号{坏卡}不能付款。",
    "企业代码{坏代码}查无此户。", "从{年}年到{年}年，产量翻了一番。", "预算为{价}万元。", "书号{书}，定价见封底。",
    "去年出口{人口}台。", "固件{版}修复了若干问题。", "证券{股}停牌。", "导航到{经纬}即可。", "镜像摘要{散列}已核对。",
    "截至{日}，共收到三百份问卷。", "我叫{名}，今年三十岁。", "参会人员请联系{名}先生，手机{手机}。",
    "清晨的雾散了，远处的山露出轮廓。", "投保人：{名}，联系方式：{手机}，住址：{址}",
]  # fmt: skip


def sentences(seed: int, templates: Sequence[str], rounds: int = 14) -> Iterator[Labelled]:
    """Yield each template `rounds` times, each time with other values."""
    r = random.Random(seed)
    for _ in range(rounds):
        for template in templates:
            text, spans = "", []
            for i, part in enumerate(template.replace("{", "}").split("}")):
                if i % 2:
                    kind, make = MAKERS[part]
                    value = make(r)
                    if kind:
                        spans.append((len(text), len(text) + len(value), kind))
                    part = value
                text += part
            yield text, spans
