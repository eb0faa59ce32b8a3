"""All metrics of a variant in one row, what a fork changes, and named column sets.

The index is emptied: the next refresh makes it again from the disk. What exists nowhere else is not touched.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table in ("metrics", "artifacts", "checkpoints", "variants"):
        op.execute(f"DELETE FROM {table}")
    op.add_column("variants", sa.Column("forked_at", sa.Integer()))
    op.add_column("variants", sa.Column("change", sa.JSON()))
    op.add_column("variants", sa.Column("planned_epochs", sa.Integer()))
    op.create_table(
        "metric_vectors",
        sa.Column(
            "variant", sa.String(), sa.ForeignKey("variants.name", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("numbers", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "column_sets",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )
