"""The `tdw` command: every subcommand says what it did in plain words, with `--json` where it lists."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from data.errors import BadParameter, CorruptFile, UnknownVariant, WorkbenchError

if TYPE_CHECKING:
    from analyzers.pipeline import Progress as AnalysisProgress
    from analyzers.pipeline import Report as AnalysisReport
    from data import Variant, Workspace
    from training.densify import Densified
    from training.interventions import FrequencyGain
    from training.trainer import Progress as TrainingProgress

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train small transformers, keep checkpoints, run instruments on every one, explore what emerged.",
)
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 240)
err = Console(highlight=False, soft_wrap=True, stderr=True)

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: its products are small (analyzers.threads)

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", help="The workspace folder. Default: TDW_WORKSPACE, or `workspace`."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
CheckpointsOption = Annotated[
    str | None,
    typer.Option(help="Epochs to keep, e.g. 0,100:1000:50,5000. Default: powers of two and every 250."),
]
StateEveryOption = Annotated[
    int, typer.Option(help="Epochs between two states to resume from; a killed run loses no more.")
]
LrScheduleOption = Annotated[
    str | None,
    typer.Option(help="How the learning rate changes, e.g. cosine:until=25000,floor=1e-5, or a saved name."),
]
WdScheduleOption = Annotated[
    str | None, typer.Option(help="How the weight decay changes, e.g. piecewise:5000=0.1, or a saved name.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any further setting, e.g. d_model=64 (repeatable).")
]


@app.command()
def serve(
    workspace: WorkspaceOption = None,
    host: Annotated[
        str, typer.Option(help="Beyond this machine needs TDW_PASSWORD or --insecure.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8050,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other machines without a password.")
    ] = False,
) -> None:
    """Open the dashboard; on first use on the shipped samples."""
    from dashboard.serve import serve as serve_dashboard
    from data.workspace import default_path

    path = default_path() if workspace is None else workspace
    first = not path.exists()
    opened = _workspace(path, create=True)
    if first:
        added = opened.add_samples()
        out.print(f"Made {path} from {len(added)} sample variants: {', '.join(added)}.")
    serve_dashboard(path, host=host, port=port, open_browser=open_browser, insecure=insecure)


@app.command()
def train(
    family: Annotated[str, typer.Argument(help="The task family: modular_addition.")],
    p: Annotated[int, typer.Option(help="The prime.")] = 113,
    seed: Annotated[int, typer.Option(help="Seed of the initial weights.")] = 0,
    data_seed: Annotated[int, typer.Option(help="Seed of the train/test split.")] = 598,
    frac_train: Annotated[float, typer.Option(help="Share of the pairs to train on.")] = 0.3,
    operation: Annotated[str, typer.Option(help="add, subtract, multiply or x2+xy+y2.")] = "add",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    lr_schedule: LrScheduleOption = None,
    weight_decay: Annotated[float, typer.Option(help="Decoupled weight decay of AdamW.")] = 1.0,
    wd_schedule: WdScheduleOption = None,
    setting: SetOption = None,
    epochs: Annotated[int | None, typer.Option(help="Optimizer steps. Default: the family's.")] = None,
    checkpoints: CheckpointsOption = None,
    checkpoint_dtype: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    state_every: StateEveryOption = 1000,
    device: DeviceOption = "auto",
    tf32: Annotated[bool, typer.Option("--tf32", help="Faster, less exact products on CUDA.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    replicates: Annotated[
        int | None, typer.Option(help="Train this many copies that differ by --perturb instead.")
    ] = None,
    perturb: Annotated[
        float | None, typer.Option(help="Relative perturbation of the copies. Default: 1e-6.")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Train one variant (or replicates of it) and keep its checkpoints."""
    from training.families import get_family
    from training.replicates import DEFAULT_PERTURBATION

    made = _workspace(workspace, create=True)
    config = {
        "lr": lr,
        "weight_decay": weight_decay,
        "lr_schedule": _schedule(made, lr_schedule),
        "wd_schedule": _schedule(made, wd_schedule),
    }
    config |= _settings(setting, taken=config)
    params = {"p": p, "seed": seed, "data_seed": data_seed, "frac_train": frac_train, "operation": operation}
    if perturb is not None and replicates is None:
        raise BadParameter("--perturb needs --replicates, the number of copies, e.g. --replicates 32.")
    if replicates is not None:
        found = get_family(family)
        root = found.record(found.make_params(params), found.make_config(config))
        outcomes = _do(
            made,
            {
                "kind": "replicates",
                "family": family,
                "params": params,
                "config": config,
                "copies": replicates,
                "perturb": DEFAULT_PERTURBATION if perturb is None else perturb,
                "epochs": epochs,
                "checkpoints": checkpoints,
                "device": device,
                "tf32": tf32,
                "go_on": resume,
            },
        )
        failed = [outcome for outcome in outcomes if outcome.error]
        out.print(f"Trained {len(outcomes) - len(failed)} of {replicates} replicates of {root.name}.")
        _report_replicates(made, root.name)
        if failed:
            causes = "; ".join(str(outcome.error) for outcome in failed)
            raise WorkbenchError(f"{len(failed)} of {len(outcomes)} replicates failed: {causes}")
        return
    order = {
        "kind": "train",
        "family": family,
        "params": params,
        "config": config,
        "epochs": epochs,
        "checkpoints": checkpoints,
        "checkpoint_dtype": checkpoint_dtype,
        "state_every": state_every,
        "device": device,
        "tf32": tf32,
        "go_on": resume,
    }
    _report_run(_do(made, order))


@app.command()
def resume(
    name: Annotated[str, typer.Argument(help="The variant to go on with.")],
    epochs: Annotated[
        int | None, typer.Option(help="Train to this epoch. Default: as far as it was meant to go.")
    ] = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = None,
) -> None:
    """Go on with a run that was stopped, or train it for longer; bit-exact on the same device."""
    from training.run import recorded_epochs

    opened = _workspace(workspace)
    before = max(recorded_epochs(opened[name]) - 1, 0)
    variant = _do(opened, {"kind": "resume", "variant": name, "epochs": epochs, "device": device})
    if recorded_epochs(variant) - 1 == before:
        out.print(
            f"{name} is complete: it was trained to epoch {before:,}. Give --epochs to train it longer."
        )
        return
    out.print(f"Went on with {name} from its last state (epoch {before:,} was recorded).")
    _report_run(variant)


@app.command()
def fork(
    name: Annotated[str, typer.Argument(help="The variant to fork.")],
    at: Annotated[int, typer.Option(help="The epoch at which it leaves its parent.")],
    epochs: Annotated[int | None, typer.Option(help="Train to this epoch. Default: as the parent.")] = None,
    lr: Annotated[float | None, typer.Option(help="Another learning rate.")] = None,
    lr_schedule: LrScheduleOption = None,
    weight_decay: Annotated[float | None, typer.Option(help="Another weight decay.")] = None,
    wd_schedule: WdScheduleOption = None,
    frac_train: Annotated[float | None, typer.Option(help="Another share of pairs to train on.")] = None,
    data_seed: Annotated[int | None, typer.Option(help="Another train/test split.")] = None,
    perturb: Annotated[
        float | None, typer.Option(help="Move every weight tensor by this relative size, e.g. 1e-6.")
    ] = None,
    perturb_seed: Annotated[int, typer.Option(help="Seed of the perturbation.")] = 0,
    gain: Annotated[
        float | None, typer.Option(help="Multiply --frequencies at --site by this while training.")
    ] = None,
    frequencies: Annotated[str | None, typer.Option(help="Frequencies k of the gain, e.g. 9,33.")] = None,
    site: Annotated[str, typer.Option(help="Where the gain acts: attn_out or embed.")] = "attn_out",
    gain_start: Annotated[int | None, typer.Option(help="First epoch of the gain. Default: --at.")] = None,
    gain_end: Annotated[int | None, typer.Option(help="Epoch at which it is over. Default: the end.")] = None,
    ramp: Annotated[int, typer.Option(help="Epochs to raise and to lower the gain.")] = 0,
    no_gain: Annotated[bool, typer.Option("--no-gain", help="End the gain that the parent has.")] = False,
    checkpoints: CheckpointsOption = None,
    checkpoint_dtype: Annotated[
        str | None, typer.Option(help="float32 or float16. Default: as the parent.")
    ] = None,
    state_every: StateEveryOption = 1000,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = None,
) -> None:
    """Train another run from an epoch of a stored one, with something changed (or nothing)."""
    from training.forks import Change
    from training.named_schedules import NamedSchedules
    from training.replay import trained_to

    opened = _workspace(workspace)
    schedules = NamedSchedules(opened)
    end = trained_to(opened[name]) if epochs is None else epochs
    change = Change(
        lr=lr,
        lr_schedule=None if lr_schedule is None else schedules.find(lr_schedule),
        weight_decay=weight_decay,
        wd_schedule=None if wd_schedule is None else schedules.find(wd_schedule),
        frac_train=frac_train,
        data_seed=data_seed,
        perturb=perturb,
        perturb_seed=perturb_seed,
        intervention=_gain(
            gain,
            frequencies,
            site,
            at if gain_start is None else gain_start,
            end if gain_end is None else gain_end,
            ramp,
        ),
        end_intervention=no_gain,
    )
    order = {
        "kind": "fork",
        "variant": name,
        "at": at,
        "change": change.to_json(),
        "epochs": epochs,
        "checkpoints": checkpoints,
        "checkpoint_dtype": checkpoint_dtype,
        "state_every": state_every,
        "device": device,
    }
    variant = _do(opened, order)
    changed = change.name.replace("-", ", ") or "nothing"
    out.print(f"Forked {name} at epoch {at:,}; changed: {changed}.")
    _report_run(variant)


@app.command()
def checkpoints(
    name: Annotated[str, typer.Argument(help="The variant.")],
    add: Annotated[
        str | None, typer.Option(help="Replay the run and add these epochs, e.g. 9000:9600:20.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Add them even if the replay differs from what is stored.")
    ] = False,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the saved epochs of a variant, or add some that were not saved."""
    variant = _workspace(workspace)[name]
    added: dict[str, Any] = {}
    if add is not None:
        order = {"kind": "densify", "variant": name, "epochs": add, "device": device, "force": force}
        done = _do(variant.workspace, order)
        variant = variant.workspace[name]
        added = {"densified": done.to_json()}
        if not as_json:
            _report_densified(name, done)
    saved, states = variant.epochs, variant.optimizer_epochs
    if as_json:
        print(json.dumps({"variant": name, "epochs": saved, "states": states, **added}, indent=2))
        return
    span = f" from {saved[0]:,} to {saved[-1]:,}" if saved else ""
    out.print(f"{name} has {len(saved)} checkpoints{span}:")
    out.print(", ".join(map(str, saved)) or "none")
    out.print(f"States to resume and fork from without a replay: {', '.join(map(str, states)) or 'none'}.")


@app.command()
def replicates(
    name: Annotated[str, typer.Argument(help="The variant that they are replicates of.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the replicates of a variant have in common, and where they part."""
    _report_replicates(_workspace(workspace), name, as_json)


@app.command()
def sweep(
    file: Annotated[
        Path | None, typer.Argument(help="A YAML file with a grid or a list of variants.")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="One axis, e.g. p=97,113 or seed=0:8 (0 to 7); repeatable, all combinations."),
    ] = None,
    setting: SetOption = None,
    family: Annotated[str | None, typer.Option(help="The task family. Default: modular_addition.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Optimizer steps. Default: the family's.")] = None,
    checkpoints: CheckpointsOption = None,
    checkpoint_dtype: Annotated[str | None, typer.Option(help="float32 or float16.")] = None,
    state_every: Annotated[int | None, typer.Option(help="Epochs between two states. Default: 1000.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    tf32: Annotated[bool, typer.Option("--tf32", help="Faster, less exact products on CUDA.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
    max_batch: Annotated[int | None, typer.Option(help="Most variants to a batch.")] = None,
    dask: Annotated[str | None, typer.Option(help="Run on this Dask cluster, e.g. tcp://host:8786.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a grid or a list of variants; what is complete is left alone, so it can be run again."""
    from training.sweeps import expand_grid, read_sweep

    if (file is None) == (not grid):
        raise BadParameter("Give a YAML file or --grid (repeatable), e.g. --grid p=97,113 --grid seed=0:8.")
    asked: list[dict[str, Any]]
    options: dict[str, Any]
    asked, options = (expand_grid(_grid(grid or [])), {}) if file is None else read_sweep(file)
    given = {
        "family": family,
        "epochs": epochs,
        "checkpoints": checkpoints,
        "checkpoint_dtype": checkpoint_dtype,
        "state_every": state_every,
        "device": device,
        "tf32": tf32 or None,
        "workers": workers,
        "max_batch": max_batch,
        "dask": dask,
    }
    unknown = sorted(set(options) - set(given))
    if unknown:
        raise BadParameter(f"the sweep {file} has no option {unknown[0]!r}; there is: {', '.join(given)}")
    options |= {name: value for name, value in given.items() if value is not None}
    common = _settings(setting, taken={})
    order = {"kind": "sweep", "variants": [{**common, **one} for one in asked], "workers": None, **options}
    made = _workspace(workspace, create=True)
    report = _do(made, order, quiet=as_json)
    count = len(report.trained) + len(report.complete) + len(report.failed)
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    else:
        for note in report.notes:
            out.print(note)
        out.print(
            f"{count} variants in {made.path}: {len(report.trained)} trained now,"
            f" {len(report.complete)} complete before, {len(report.failed)} failed."
        )
    if report.failed:
        for name, cause in report.failed.items():
            err.print(f"{name}: {cause}")
        raise WorkbenchError(f"{len(report.failed)} of {count} variants failed; they are listed above.")


@app.command()
def variants(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the variants with parameters, epochs, final losses and the turn."""
    opened = _workspace(workspace)
    rows, problems = [], [str(problem) for problem in opened.problems()]
    for entry in opened.catalog.refresh():
        found: dict[str, Any] = {}
        try:
            found = opened[entry.name].summary
        except CorruptFile as error:
            problems.append(str(error))
        told = {name: found.get(name) for name in ("turn", "classification", "classification_rules")}
        rows.append({**asdict(entry), **told})
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        table = Table(
            "name", "family", "checkpoints", "trained to", "train loss", "test loss", "kind", "turn", box=None
        )
        for row in rows:
            table.add_row(
                row["name"],
                row["family"],
                str(len(row["epochs"])),
                _number(row["trained_epochs"]),
                _loss(row["final_train_loss"]),
                _loss(row["final_test_loss"]),
                row["classification"] or "-",
                "unreadable" if row["turn"] is None else _turn(row["turn"]),
            )
        out.print(table)
        out.print(f"{len(rows)} variants in {opened.path}.")
    for problem in problems:
        err.print(problem)


@app.command()
def summary(
    name: Annotated[str, typer.Argument(help="The variant.")],
    part: Annotated[
        str | None, typer.Option(help="Only this part: run, turn, signals, frequencies, geometry, structure.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything that is known about a run, in numbers with their definitions."""
    found = _workspace(workspace)[name].summary
    if as_json:
        print(json.dumps(found, indent=2))
        return
    metrics = found["metrics"]
    if metrics is None:
        raise WorkbenchError(f"{name} has no summary yet; run `tdw analyze {name}` first.")
    parts = list(dict.fromkeys(one["section"] for one in metrics.values()))
    if part is not None and part not in parts:
        raise BadParameter(f"--part {part!r} is not known; choose one of: {', '.join(parts)}.")
    table = _table("part", "metric", "value", "from", "to", "unit", "says")
    for metric, one in metrics.items():
        if part in (None, one["section"]):
            numbers = (_metric(one[bound], one["unit"]) for bound in ("value", "lower", "upper"))
            unit = "" if one["unit"] in ("1", "code") else one["unit"]
            table.add_row(one["section"], metric, *numbers, unit, one["text"] or one["reason"])
    out.print(table)
    rules = ", ".join(found["classification_rules"]) or "no rule"
    out.print(f"{name}: {found['classification']} ({rules}); --json tells the definitions.")


@app.command()
def analyze(
    name: Annotated[str | None, typer.Argument(help="The variant; without it, --all.")] = None,
    all_variants: Annotated[bool, typer.Option("--all", help="Every variant of the workspace.")] = False,
    analyzer: Annotated[
        list[str] | None,
        typer.Option(
            "--analyzer",
            "--analyzers",
            help="Only these, separated by commas (repeatable). Needed for those that are not standard.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that share the checkpoints, each on one thread.")
    ] = 1,
    workspace: WorkspaceOption = None,
) -> None:
    """Run the analyzers that are missing or stale, with progress."""
    opened = _workspace(workspace)
    if (name is None) != all_variants:
        raise BadParameter("Give the name of one variant, or --all.")
    chosen = [variant.name for variant in opened.variants()] if name is None else [name]
    names = [part.strip() for given in analyzer or () for part in given.split(",") if part.strip()] or None
    if not chosen:
        raise UnknownVariant(f"{opened.path} has no variants yet; `tdw train` makes one.")
    reports = _do(opened, {"kind": "analyze", "variants": chosen, "analyzers": names, "workers": workers})
    failures = sum(len(report.failures) for report in reports)
    if failures:
        raise WorkbenchError(f"{failures} results could not be computed; they are listed above.")


@app.command()
def analyzers(as_json: JsonOption = False) -> None:
    """List the instruments with what they compute and where the formula comes from."""
    from analyzers.service import AnalyzerService

    rows = [
        {
            **found,
            "runs": ("with the others" if found["standard"] else "by name")
            if found["stored"]
            else "when seen",
        }
        for found in AnalyzerService().list()
    ]
    _list(rows, ("name", "title", "scope", "runs"), "analyzers", as_json)


@app.command()
def views(as_json: JsonOption = False) -> None:
    """List the views with what they show."""
    from renderers.service import ViewService

    _list(ViewService().list(), ("name", "title", "group"), "views", as_json)


@app.command(name="import")
def import_(
    path: Annotated[
        Path, typer.Argument(help="A .safetensors or .pth file, or a folder with one per epoch.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the variant. Default: made of what it is.")
    ] = None,
    p: Annotated[int | None, typer.Option(help="The prime. Default: read off the shapes.")] = None,
    operation: Annotated[
        str | None, typer.Option(help="add, subtract, multiply or x2+xy+y2. Default: what the model does.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="transformerlens or older, where the shapes leave it open.")
    ] = None,
    data_seed: Annotated[int | None, typer.Option(help="Seed of the split. Default: searched for.")] = None,
    frac_train: Annotated[
        float | None, typer.Option(help="Share of the pairs to train on, as above.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="randperm (torch), shuffle (Python), or unknown: do not search.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Search this many seeds. Default: 0 to 999 and common ones.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a variant of a model that another program trained, and say what was done."""
    from training.importing import import_run
    from training.importing.search import SEEDS

    made = _workspace(workspace, create=True)
    with _progress() as bar:
        task = bar.add_task("searching for the split", total=None, note="", visible=False)

        def show(done: int, total: int) -> None:
            bar.update(task, total=total, completed=done, note=f"{done} of {total} seeds", visible=True)

        report = import_run(
            made,
            path,
            name,
            p,
            operation,
            layout,
            data_seed,
            frac_train,
            split,
            SEEDS if seeds is None else range(seeds),
            show,
        )
    if as_json:
        print(json.dumps(asdict(report), indent=2))
        return
    for note in report.notes:
        out.print(note)
    out.print(f"Split: {report.split}.")
    for one in report.contradictions:
        out.print(f"Contradiction: {one}")
    span = f"epoch {report.epochs[0]:,}" + (f" to {report.epochs[-1]:,}" if len(report.epochs) > 1 else "")
    count = f"{len(report.epochs)} checkpoint{'s' if len(report.epochs) > 1 else ''}"
    out.print(f"Imported {report.variant} ({count}, {span}) into {made.path}.")
    out.print(f"Next: tdw analyze {report.variant} --workspace {made.path}")


jobs_app = typer.Typer(rich_markup_mode=None, help="What trains or analyses, and what did.")
app.add_typer(jobs_app, name="jobs")
JobArgument = Annotated[str, typer.Argument(help="The id of the job, from `tdw jobs`.")]


@jobs_app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Not only the newest 20.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the jobs, the newest first, whoever started them."""
    from data.database.jobs import JobStore

    if context.invoked_subcommand is not None:
        return
    opened = _workspace(workspace)
    found = JobStore(opened.database).history(None if everything else 20)
    if as_json:
        print(json.dumps([job.to_json() for job in found], indent=2))
        return
    table = _table("id", "state", "done", "title", "says")
    for job in found:
        share = f"{100 * job.done / job.total:.0f} %" if job.total else "-"
        state = "stopping" if job.cancelling and job.active else job.state
        table.add_row(job.id, state, share, job.title, job.message)
    out.print(table)
    running = sum(job.active for job in found)
    out.print(f"{len(found)} jobs in {opened.path}, {running} of them active.")


@jobs_app.command(name="cancel")
def jobs_cancel(ident: JobArgument, workspace: WorkspaceOption = None) -> None:
    """Ask a job to stop, keeping what it has finished."""
    from data.database.jobs import JobStore

    job = JobStore(_workspace(workspace).database).cancel(ident)
    if job.active:
        out.print(f"Asked {ident} ({job.title}) to stop; it does so at its next report.")
    else:
        out.print(f"{ident} ({job.title}) is {job.state}. {job.message}")


@jobs_app.command(name="resume")
def jobs_resume(
    ident: JobArgument,
    background: Annotated[bool, typer.Option("--background", help="Start it and do not wait.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Go on with a job that failed, was cancelled or was interrupted."""
    from dashboard.work.here import finish_here
    from dashboard.work.launch import launch, requeue

    opened = _workspace(workspace)
    job, new = requeue(opened, ident)
    if not new:
        raise WorkbenchError(f"The job {job.id} does this already ({job.title}, {job.state}).")
    if background:
        launch(opened, job)
        out.print(f"Goes on in the background: {job.title}.")
        return
    with _progress() as bar:
        finish_here(opened, job, _Bars(bar))
    out.print(f"Done: {job.title}.")


@jobs_app.command(name="log")
def jobs_log(ident: JobArgument, workspace: WorkspaceOption = None) -> None:
    """Print the end of a job's log."""
    from data.job_files import JobFiles

    print(JobFiles(_workspace(workspace).path, ident).read_log(), end="")


schedules_app = typer.Typer(rich_markup_mode=None, help="Learning-rate and weight-decay policies by name.")
app.add_typer(schedules_app, name="schedules")
ScheduleArgument = Annotated[str, typer.Argument(help="The name of the schedule.")]


@schedules_app.callback(invoke_without_command=True)
def schedules(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the saved schedules; `--lr-schedule NAME` and `--wd-schedule NAME` use them."""
    from training.named_schedules import NamedSchedules
    from training.schedules import Schedule

    if context.invoked_subcommand is not None:
        return
    opened = _workspace(workspace)
    found = NamedSchedules(opened).list()
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return
    table = _table("name", "schedule")
    for one in found:
        table.add_row(one.name, str(Schedule.of_json(one.value)))
    out.print(table)
    out.print(f"{len(found)} schedules in {opened.path}.")


@schedules_app.command(name="save")
def schedules_save(
    name: ScheduleArgument,
    policy: Annotated[str, typer.Argument(help="E.g. warmup_cosine:warmup=100,until=25000.")],
    replace: Annotated[bool, typer.Option("--replace", help="Even if that name has another one.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Keep a schedule under a name."""
    from training.named_schedules import NamedSchedules
    from training.schedules import Schedule

    saved = NamedSchedules(_workspace(workspace, create=True)).save(name, policy, replace)
    out.print(f"Saved {name}: {Schedule.of_json(saved.value)}. Use it with --lr-schedule {name}.")


@schedules_app.command(name="delete")
def schedules_delete(name: ScheduleArgument, workspace: WorkspaceOption = None) -> None:
    """Forget a schedule; variants that were trained with it keep their own copy."""
    from training.named_schedules import NamedSchedules

    NamedSchedules(_workspace(workspace)).delete(name)
    out.print(f"Deleted the schedule {name}.")


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index again from the disk.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for damage, leftovers and drift; nothing that a person made is ever deleted.

    Results that are merely out of date are told, and are nothing wrong.
    """
    from data import doctor as clinic
    from data import drift

    opened = _workspace(workspace)
    done: list[str] = []
    if rebuild:
        done.append(f"Made the index again from the disk: {len(opened.catalog.rebuild())} variants.")
    found = clinic.examine(opened)
    if repair and found:
        done += clinic.repair(opened, found)
        found = clinic.examine(opened)
    outdated = drift.outdated(opened)
    if as_json:
        rows = [{**asdict(finding), "path": finding.path and str(finding.path)} for finding in found]
        print(json.dumps({"done": done, "findings": rows, "outdated": outdated}, indent=2))
    else:
        for sentence in done:
            out.print(sentence)
        for finding in found:
            out.print(f"{finding.subject}: {finding.problem} Remedy: {finding.remedy}")
        for sentence in outdated:
            out.print(f"For information: {sentence}")
        if not found:
            out.print(f"{opened.path} is in order: {len(opened.names())} variants.")
    if found:
        mendable = sum(bool(finding.mend) for finding in found)
        how = f"; `tdw doctor --repair` mends {mendable} of them" if mendable and not repair else ""
        count = "One thing is" if len(found) == 1 else f"{len(found)} things are"
        raise WorkbenchError(f"{count} wrong in {opened.path}{how}.")


@app.command(name="reduce")
def reduce_(
    names: Annotated[list[str] | None, typer.Argument(help="The variants; without them, --all.")] = None,
    all_variants: Annotated[
        bool, typer.Option("--all", help="Every finished variant that has checkpoints.")
    ] = False,
    count: Annotated[
        int,
        typer.Option("--checkpoints", help="Checkpoints to measure, chosen by where the test loss falls."),
    ] = 25,
    results: Annotated[
        str | None, typer.Option(help="Results to keep, separated by commas. Default: the small ones.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Variants that are measured at the same time.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Measure finished runs, then keep their history, summary and small results, and no checkpoints."""
    from analyzers.reduction import RESULTS, Reduced, reduce_variants, why_not

    opened = _workspace(workspace)
    if bool(names) == all_variants:
        raise BadParameter("Give the names of variants, or --all.")
    chosen = [opened[name] for name in names or ()] or opened.variants()
    reasons = {variant.name: why_not(variant) for variant in chosen}
    if names and any(reasons.values()):
        raise WorkbenchError(" ".join(filter(None, reasons.values())))
    todo = [name for name, reason in reasons.items() if not reason]
    if (
        todo
        and not yes
        and not typer.confirm(
            f"Measure {len(todo)} variants in {opened.path} and remove their checkpoints and training states?"
        )
    ):
        raise WorkbenchError("Nothing was changed.")

    def tell(done: Reduced) -> None:
        size = f"{done.before / 1e6:.1f} MB to {done.after / 1e3:.0f} kB"
        out.print(f"{done.variant}: {len(done.measured)} checkpoints measured and removed, {size}.")

    kept = tuple(name.strip() for name in results.split(",")) if results else RESULTS
    failed = reduce_variants(opened, todo, count, kept, workers, tell) if todo else {}
    out.print(f"{len(todo) - len(failed)} variants reduced, {len(reasons) - len(todo)} left alone.")
    for name, cause in failed.items():
        err.print(f"{name}: {cause}")
    if failed:
        raise WorkbenchError(
            f"{len(failed)} of {len(todo)} variants could not be reduced; they are listed above."
        )


@app.command()
def delete(
    name: Annotated[str, typer.Argument(help="The variant to delete, with all its files.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Delete a variant."""
    opened = _workspace(workspace)
    if not yes and not typer.confirm(
        f"Delete {name} in {opened.path} with all its checkpoints and artifacts?"
    ):
        raise WorkbenchError(f"{name} was kept.")
    opened.delete_variant(name)
    out.print(f"Deleted {name} from {opened.path}.")


def main() -> None:
    """Entry point: a WorkbenchError becomes one line on stderr and exit status 1."""
    try:
        app()
    except WorkbenchError as error:
        print(f"tdw: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _workspace(path: Path | None, create: bool = False) -> Workspace:
    """The workspace at `path` or the default one. Storage is loaded here: --help need not wait for it."""
    from data import Workspace
    from data.workspace import default_path

    return Workspace(default_path() if create and path is None else path, create=create)


def _schedule(workspace: Workspace, given: str | None) -> str | None:
    """The policy of a saved name, as text; a policy as it is."""
    from training.named_schedules import NamedSchedules

    return None if given is None else str(NamedSchedules(workspace).find(given))


def _do(workspace: Workspace, order: Mapping[str, Any], quiet: bool = False) -> Any:
    """Do an order here, as a job that the dashboard shows, and return what it made."""
    from dashboard.work.here import do_here
    from dashboard.work.orders import parse

    with _progress() as bar:
        return do_here(workspace, parse(order), _Bars(bar, quiet))


class _Bars:
    """Progress bars, each shown from its first report on; quiet: nothing on stdout."""

    def __init__(self, bar: Progress, quiet: bool = False) -> None:
        self._bar, self._quiet = bar, quiet
        self._tasks: dict[str, Any] = {}

    def trained(self, state: TrainingProgress) -> None:
        losses = f"train {state.train_loss:.3g}, test {state.test_loss:.3g}"
        note = f"epoch {state.epoch:,}, {losses}, {state.epochs_per_second:,.0f} epochs/s"
        if state.variants > 1:
            note += f", {state.variants} variants"
        self._show("training", state.epoch, state.epochs, note)

    def replayed(self, epoch: int, last: int) -> None:
        self._show("replaying", epoch, last, f"epoch {epoch:,}", visible=epoch < last)

    def analysed(self, state: AnalysisProgress) -> None:
        self._show(f"analysing {state.variant}", state.done, state.total, state.analyzer)

    def reported(self, variant: str, report: AnalysisReport) -> None:
        for failure in report.failures:
            err.print(f"{variant}: {failure}")
        out.print(f"{variant}: {report}")
        self._show(f"analysing {variant}", 1, 1, "", visible=False)

    def batch(self, done: int, batches: int, failed: Sequence[str]) -> None:
        self.note(f"Batch {done} of {batches} ended" + (f"; {len(failed)} failed." if failed else "."))

    def note(self, text: str) -> None:
        if not self._quiet:
            out.print(text)

    def _show(self, what: str, done: int, total: int, note: str, visible: bool = True) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=None, note="")
        self._bar.update(self._tasks[what], total=total, completed=done, note=note, visible=visible)


def _report_run(variant: Variant) -> None:
    history, made_on = variant.history, variant.provenance
    out.print(
        f"Trained {variant.name} to epoch {int(history['epoch'][-1]):,} on {made_on['device']}"
        f" ({made_on['dtype']}, torch {made_on['torch']}):"
        f" train loss {_loss(float(history['train_loss'][-1]))},"
        f" test loss {_loss(float(history['test_loss'][-1]))}."
    )
    out.print(f"Test loss: {_turn(variant.summary['turn'], reason=True)}.")
    out.print(f"Kept {len(variant.epochs)} checkpoints in {variant.path}.")
    out.print(f"Next: tdw analyze {variant.name} --workspace {variant.workspace.path}")


def _report_densified(name: str, done: Densified) -> None:
    if not done.added:
        out.print(f"All {len(done.already)} epochs were stored already; nothing was added to {name}.")
        return
    out.print(
        f"Added {len(done.added)} checkpoints to {name} from epoch {done.added[0]:,} to {done.added[-1]:,},"
        f" replayed from {done.source}"
        + (f" ({len(done.already)} were stored already)." if done.already else ".")
    )
    if done.verified:
        checked = ", ".join(map(str, done.verified))
        out.print(f"Verified: the stored checkpoints on the way came out bit for bit ({checked}).")
    for one in done.differing:
        out.print(f"Not verified: the replay {one}; added because of --force.")
    if done.unverified:
        out.print(f"Not verified: {len(done.unverified)} epochs after the last stored one.")
    out.print(f"Next: tdw analyze {name}")


def _report_replicates(workspace: Workspace, name: str, as_json: bool = False) -> None:
    from analyzers.replicates import summary
    from analyzers.service import AnalyzerService
    from training.replay import is_replicate

    found = [
        variant
        for variant in workspace.variants()
        if is_replicate(variant) and variant.parent and variant.parent["name"] == name
    ]
    if not found:
        raise UnknownVariant(
            f"{name} has no replicates in {workspace.path}; `tdw train ... --replicates 32` makes some."
        )
    facts = summary(found, AnalyzerService())
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    out.print(f"{name} has {len(found)} replicates.")
    for event, seen in facts["turn"].items():
        at = seen["epoch"]
        where = (
            f": epoch {at['smallest']:,.0f} to {at['largest']:,.0f}, median {at['median']:,.0f}"
            f", standard deviation {at['deviation']:,.0f}"
            if at
            else ""
        )
        out.print(f"{event.capitalize()} in {seen['runs']} of {len(found)}{where}.")
    for split in ("train", "test"):
        first = facts[f"{split}_loss_parts"]
        when = "never" if first is None else f"first at epoch {first:,}"
        out.print(f"The {split} losses of two of them differ by 1 %: {when}.")
    shared = facts["key_frequency_jaccard"]
    if shared is None:
        out.print("Key frequencies: not computed yet for two of them; run tdw analyze on each, or --all.")
    else:
        runs = ", ".join(f"{k} in {count}" for k, count in facts["key_frequency_runs"].items()) or "none"
        out.print(f"Key frequencies: {runs}; mean Jaccard index of two runs {shared:.2f}.")


def _grid(axes: Sequence[str]) -> dict[str, list[Any]]:
    """The axes of `--grid name=values`; values separated by commas, each a value or a range start:stop[:step]
    of whole numbers without its stop."""
    found: dict[str, list[Any]] = {}
    for text in axes:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            raise BadParameter(f"--grid {text!r} is not name=values; write it like --grid p=97,113")
        if name in found:
            raise BadParameter(f"--grid gives {name} twice; give all its values at once")
        found[name] = []
        for part in values.split(","):
            try:
                bounds = [int(number) for number in part.split(":")]
                found[name] += bounds if len(bounds) == 1 else range(*bounds)
            except (ValueError, TypeError):
                found[name].append(_value(part.strip()))
    return found


def _settings(given: list[str] | None, taken: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `--set name=value`: whole numbers, numbers, numbers separated by commas, or words."""
    found: dict[str, Any] = {}
    for text in given or []:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise BadParameter(f"--set {text!r} is not name=value; write it like --set d_model=64")
        if name in taken:
            raise BadParameter(f"--set {text!r}: use --{name.replace('_', '-')} {value}")
        if name in found:
            raise BadParameter(f"--set gives {name} twice; give it once")
        parts = [_value(part) for part in value.split(",")]
        several = len(parts) > 1 and not any(isinstance(part, str) for part in parts)
        found[name] = parts if several else _value(value)
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _gain(
    gain: float | None, frequencies: str | None, site: str, start: int, end: int, ramp: int
) -> FrequencyGain | None:
    from training.interventions import FrequencyGain

    if gain is None and frequencies is None:
        return None
    if gain is None or frequencies is None:
        raise BadParameter("A gain needs both --gain and --frequencies, e.g. --gain 2 --frequencies 9,33.")
    try:
        chosen = tuple(int(part) for part in frequencies.split(","))
    except ValueError:
        raise BadParameter(f"--frequencies {frequencies!r} cannot be read; write it like 9,33") from None
    return FrequencyGain(site, chosen, gain, start, end, ramp)


def _progress() -> Progress:
    note = TextColumn("{task.fields[note]}")
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        note,
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _list(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], what: str, as_json: bool) -> None:
    """One line each; everything that is known with --json."""
    if as_json:
        print(json.dumps(rows, indent=2, default=str))
        return
    table = _table(*columns)
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    out.print(table)
    out.print(f"{len(rows)} {what}; --json tells everything about them.")


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for column in columns:
        table.add_column(column, no_wrap=not out.is_terminal, overflow="fold")
    return table


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _metric(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if unit.startswith("epoch") else f"{value:.4g}"


def _turn(turn: dict[str, Any], reason: bool = False) -> str:
    """The turn in a few words, e.g. `turned at 8,100-8,230, complete at 11,020-11,100 (confidence 0.93)`."""
    if turn["onset"] is None or turn["completion"] is None:
        return f"{turn['verdict']}: {turn['reason']}" if reason else turn["verdict"]
    onset, completion = (
        f"{'' if low is None else f'{low:,.0f}-'}{high:,.0f}"
        for low, high in (turn["onset"], turn["completion"])
    )
    return f"{turn['verdict']} at {onset}, complete at {completion} (confidence {turn['confidence']:.2f})"


if __name__ == "__main__":
    main()
