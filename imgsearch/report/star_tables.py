"""The star: facts (``fact_``) and dimensions (``dim_``), flat tables of texts, numbers, booleans, dates and timestamps.

Every column of type ``DATE`` joins ``dim_date.date``; the other joins stand in ``StarTable.joins``. A column that joins
is null, or its value is a key of that table. Times are UTC.
"""

from __future__ import annotations

from imgsearch.report.star_dimensions import (
    DIM_CLUSTER,
    DIM_DATE,
    DIM_IMAGE,
    DIM_LABEL,
    DIM_QUERY,
    DIM_RUN,
    DIM_SEARCH,
    DIM_THUMBNAIL,
)
from imgsearch.report.star_facts import (
    FACT_CLUSTER_EVENT,
    FACT_DRIFT,
    FACT_DUPLICATE,
    FACT_IMAGE,
    FACT_LABEL,
    FACT_MATCH,
    FACT_MEMBER,
    FACT_METRIC,
    FACT_QUARANTINE,
)

STAR = (
    DIM_IMAGE, DIM_CLUSTER, DIM_LABEL, DIM_QUERY, DIM_SEARCH, DIM_RUN, DIM_DATE, DIM_THUMBNAIL, FACT_IMAGE, FACT_MEMBER,
    FACT_MATCH, FACT_LABEL, FACT_DUPLICATE, FACT_QUARANTINE, FACT_METRIC, FACT_CLUSTER_EVENT, FACT_DRIFT,
)  # fmt: skip
