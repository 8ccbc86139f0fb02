"""What a condition of the user's may consist of: columns, literals, operators, and functions of their arguments alone.

An allow-list of two parts, since Spark shows an expression twice. As *parsed* it names its functions, and nothing has
been run; ``reflect`` alone would load a class when it is analysed. As *analysed* it says what those names mean in this
session, where a name may be another's function. Whatever is on neither list is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: SQL names. None draws lots, asks for the time, the user or the session, opens a file, or makes more than it is given.
FUNCTIONS = _words(
    """
    abs add_months array array_contains array_max array_min array_position array_size arrays_overlap ascii between
    bigint bit_count bit_length boolean bround btrim cardinality ceil ceiling char_length character_length coalesce
    concat concat_ws contains date date_add date_diff date_format date_part date_sub date_trunc dateadd datediff day
    dayname dayofmonth dayofweek dayofyear decimal double element_at endswith equal_null exists exp extract float
    floor forall get greatest hour if ifnull ilike initcap instr int isnan isnotnull isnull last_day lcase least
    left len length levenshtein like ln locate log log10 log2 lower ltrim make_date map_contains_key map_keys
    map_values md5 minute mod month monthname months_between nanvl negative nullif nullifzero nvl nvl2 octet_length
    pmod position positive pow power quarter regexp regexp_count regexp_extract regexp_instr regexp_like
    regexp_replace regexp_substr replace reverse right rlike round rtrim second sha2 sign size split split_part sqrt
    startswith string substr substring substring_index timestamp to_date to_timestamp translate trim trunc try_add
    try_divide try_element_at try_multiply try_subtract try_to_date try_to_timestamp ucase unix_timestamp upper
    weekday weekofyear year zeroifnull
    """
)
_OPERATORS = _words(
    """
    Add And Between BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CaseWhen Cast Collate Concat CreateArray
    CreateNamedStruct Divide EqualNullSafe EqualTo GreaterThan GreaterThanOrEqual ILike If In IntegralDivide
    IsNotNull IsNull IsUnknown LambdaFunction LessThan LessThanOrEqual Like LikeAll LikeAny Literal Lower Multiply
    Not NotLikeAll NotLikeAny Or Overlay RLike Remainder ShiftLeft ShiftRight ShiftRightUnsigned StringLocate
    StringTrim StringTrimBoth StringTrimLeft StringTrimRight Substring Subtract TimestampAdd TimestampDiff
    UnaryMinus UnaryPositive
    """
)
#: Nodes of a parsed expression: simple names of Spark's classes.
PARSED = _OPERATORS | _words(
    """
    NamePlaceholder UnresolvedAttribute UnresolvedCollation UnresolvedExtractValue UnresolvedFunction
    UnresolvedNamedLambdaVariable
    """
)
#: Nodes of an analysed expression: what ``FUNCTIONS`` and the operators become.
ANALYSED = _OPERATORS | _words(
    """
    Abs AddMonths ArrayContains ArrayExists ArrayForAll ArrayMax ArrayMin ArrayPosition ArraySize ArraysOverlap
    Ascii AttributeReference BRound BitLength BitwiseCount Ceil Coalesce CommonExpressionDef CommonExpressionRef
    ConcatWs Contains DateAdd DateAddInterval DateAddYMInterval DateDiff DateFormatClass DateSub DatetimeSub DayName
    DayOfMonth DayOfWeek DayOfYear ElementAt EndsWith EqualNull EulerNumber Exp Extract ExtractANSIIntervalDays
    Floor Get GetArrayItem GetArrayStructFields GetMapValue GetStructField Greatest Hour InSet InitCap IsNaN LastDay
    Least Left Length Levenshtein Log Log10 Log2 Logarithm MakeDate MapContainsKey MapKeys MapValues Md5 Minute
    Month MonthName MonthsBetween NaNvl NamedLambdaVariable NullIf NullIfZero Nvl Nvl2 OctetLength ParseToDate
    ParseToTimestamp Pmod Pow Quarter RegExpCount RegExpExtract RegExpInStr RegExpReplace RegExpSubStr
    ResolvedCollation Reverse Right Round Second SecondWithFraction Sha2 Signum Size SplitPart Sqrt StartsWith
    StringInstr StringReplace StringSplit StringTranslate SubstringIndex SubtractDates SubtractTimestamps
    TimestampAddInterval TimestampAddYMInterval TruncDate TruncTimestamp TryAdd TryDivide TryElementAt TryMultiply
    TrySubtract TypedNullLiteral UnixTimestamp Upper WeekDay WeekOfYear With Year ZeroIfNull
    """
)
PACKAGE = "org.apache.spark.sql.catalyst."
PHRASES = {
    "Exists": "a subquery", "ListQuery": "a subquery", "InSubquery": "a subquery", "ScalarSubquery": "a subquery",
    "WindowExpression": "a window", "UnresolvedStar": "'*'", "ExpressionWithUnresolvedIdentifier": "IDENTIFIER()",
    "NamedParameter": "a parameter", "PosParameter": "a parameter",
}  # fmt: skip


class Node(NamedTuple):
    """One node of an expression. ``kind``: Spark's class; ``name``: of a function or a column, its parts."""

    kind: str
    name: tuple[str, ...] = ()


def simple_kind(kind: str) -> str:
    """The class's own name, of Spark's expressions only.

    >>> simple_kind(PACKAGE + "expressions.IsUnknown$$anon$1"), simple_kind("com.x.EqualTo")
    ('IsUnknown', 'com.x.EqualTo')
    """
    if not kind.startswith((PACKAGE + "expressions.", PACKAGE + "analysis.")):
        return kind
    return re.sub(r"\$.*", "", kind.rsplit(".", 1)[1])


def parsed_offence(nodes: Iterable[Node]) -> str | None:
    """What a parsed expression may not hold, named; ``None`` where it holds nothing of the kind."""
    for node in nodes:
        kind = simple_kind(node.kind)
        if kind == "UnresolvedFunction" and (len(node.name) != 1 or node.name[0].lower() not in FUNCTIONS):
            return f"the function '{'.'.join(node.name)}'"
        if kind not in PARSED:
            return PHRASES.get(kind, f"'{kind}'")
    return None


def analysed_offence(nodes: Iterable[Node], columns: Set[str]) -> str | None:
    """The same of an analysed expression. ``columns``: whatever identifies the columns that it may name."""
    for node in nodes:
        kind = simple_kind(node.kind)
        if kind == "AttributeReference" and node.name[0] not in columns:
            return f"the column '{node.name[1]}' of another table"
        if kind not in ANALYSED:
            return PHRASES.get(kind, f"'{kind}'")
    return None
