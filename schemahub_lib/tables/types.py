"""A table's description as pyiceberg and Arrow want it: the one place that knows both their types."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from schemahub_lib.schemas import LEVELS, SqlType, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.sorting import SortOrder


def iceberg_schema(table: Table) -> Schema:
    """The pyiceberg schema, field ids in column order. Nothing is required: quarantine and audits enforce that."""
    from pyiceberg.schema import Schema
    from pyiceberg.types import (
        BooleanType,
        DecimalType,
        DoubleType,
        IcebergType,
        ListType,
        LongType,
        NestedField,
        StringType,
        StructType,
        TimestamptzType,
    )

    inner = count(len(table.columns) + 1)  # ids of what is inside of columns

    def levels() -> IcebergType:
        members = (NestedField(next(inner), name, DoubleType(), required=False) for name in ("price", "quantity"))
        return ListType(next(inner), StructType(*members), element_required=False)

    types: dict[SqlType, Callable[[], IcebergType]] = {
        "STRING": StringType,
        "DOUBLE": DoubleType,
        "DECIMAL(38, 18)": lambda: DecimalType(38, 18),
        "BIGINT": LongType,
        "BOOLEAN": BooleanType,
        "TIMESTAMP": TimestamptzType,
        LEVELS: levels,
    }
    return Schema(
        *(
            NestedField(number, column.name, types[column.type](), required=False, doc=column.comment or None)
            for number, column in enumerate(table.columns, start=1)
        )
    )


def arrow_type(sql_type: SqlType) -> pa.DataType:
    """The Arrow type of a column; timestamps are microseconds in UTC."""
    import pyarrow as pa

    types: dict[SqlType, pa.DataType] = {
        "STRING": pa.string(),
        "DOUBLE": pa.float64(),
        "DECIMAL(38, 18)": pa.decimal128(38, 18),
        "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
        LEVELS: pa.list_(pa.field("element", pa.struct([("price", pa.float64()), ("quantity", pa.float64())]))),
    }
    return types[sql_type]


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema, in column order."""
    import pyarrow as pa

    return pa.schema([(column.name, arrow_type(column.type)) for column in table.columns])


def partition_spec(table: Table, schema: Schema) -> PartitionSpec:
    """By days of a time, by the values of a column, or none."""
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
    from pyiceberg.transforms import DayTransform, IdentityTransform

    if column := table.partition_by_day:
        field = PartitionField(schema.find_field(column).field_id, 1000, DayTransform(), f"{column}_day")
    elif column := table.partition_by:
        field = PartitionField(schema.find_field(column).field_id, 1000, IdentityTransform(), column)
    else:
        return UNPARTITIONED_PARTITION_SPEC
    return PartitionSpec(field)


def sort_order(table: Table, schema: Schema) -> SortOrder:
    """Ascending by the columns that the table is sorted by."""
    from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortField, SortOrder
    from pyiceberg.transforms import IdentityTransform

    if not table.sort_by:
        return UNSORTED_SORT_ORDER
    return SortOrder(
        *(SortField(schema.find_field(name).field_id, transform=IdentityTransform()) for name in table.sort_by)
    )
