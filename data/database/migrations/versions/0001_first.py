"""The first tables. An older catalog.sqlite held an index only, which is made again from the disk."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("DROP TABLE IF EXISTS checkpoints")
    op.execute("DROP TABLE IF EXISTS variants")
    op.create_table(
        "variants",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("family", sa.String(), nullable=False, index=True),
        sa.Column("identity", sa.String(), nullable=False, index=True),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("parent", sa.String(), index=True),
        sa.Column("trained_epochs", sa.Integer()),
        sa.Column("final_train_loss", sa.Float()),
        sa.Column("final_test_loss", sa.Float()),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("results", sa.String(), nullable=False),
    )
    op.create_table(
        "checkpoints",
        _variant(),
        sa.Column("epoch", sa.Integer(), primary_key=True),
    )
    op.create_table(
        "artifacts",
        _variant(),
        sa.Column("probe", sa.String(), primary_key=True),
        sa.Column("analyzer", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("nbytes", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "metrics",
        _variant(),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.Float()),
        sa.Column("lower", sa.Float()),
        sa.Column("upper", sa.Float()),
    )
    op.create_index("ix_metrics_name_value", "metrics", ["name", "value"])
    op.create_table(
        "settings",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.JSON(), nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("work", sa.String(), nullable=False, index=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False, index=True),
        sa.Column("order", sa.JSON(), nullable=False),
        sa.Column("variants", sa.JSON(), nullable=False),
        sa.Column("done", sa.Float(), nullable=False),
        sa.Column("total", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON()),
        sa.Column("cancelling", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("host", sa.String()),
        sa.Column("pid", sa.Integer()),
        sa.Column("process_started", sa.Float()),
        sa.Column("heartbeat", sa.Float()),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("started", sa.Float()),
        sa.Column("finished", sa.Float()),
        sa.Column("active", sa.String(), unique=True),
    )
    op.create_table(
        "probes",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )
    op.create_table(
        "boards",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("updated", sa.Float(), nullable=False),
    )
    op.create_table(
        "bookmarks",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )


def _variant() -> sa.Column:
    return sa.Column(
        "variant", sa.String(), sa.ForeignKey("variants.name", ondelete="CASCADE"), primary_key=True
    )
