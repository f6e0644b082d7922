"""`luban data`: raw text to clean, deduplicated, split documents and token shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

app = typer.Typer(
    help="Raw text to clean, deduplicated, split documents and token shards.", no_args_is_help=True
)

Out = typer.Option(help="Folder to write.")
Config = typer.Option(None, help="YAML file with settings under the command's name.")
DryRun = typer.Option(False, "--dry-run", help="Print settings and time; do nothing.")
Json = typer.Option(False, "--json", help="JSON lines; the last has the counts.")
Documents = typer.Argument(help="Documents folder of an earlier step.")


@app.command("crawl")
def crawl(
    urls: list[str] = typer.Argument(None, help="Addresses to start from."),
    out: Path = Out,
    seeds: Path | None = typer.Option(None, help="File with addresses to start from, one a line."),
    previous: Path | None = typer.Option(None, help="Folder of an earlier crawl: ask only for changes."),
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="crawl.KEY=VALUE, such as crawl.max_pages=1000."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Fetch web pages into WARC files: politely, within bounds, and going on where it was stopped.

    What became of every address is in crawl.jsonl. Hosts with private addresses are refused unless
    crawl.allow_hosts names them.

    \b
    Examples:
      luban data crawl https://example.org/ --out data/crawl --set crawl.contact=me@example.org
      luban data crawl --seeds sites.txt --previous data/crawl --out data/crawl-2
    """
    import json

    from luban.cli.crawl import print_crawl
    from luban.cli.stage import one_stage, run_stage
    from luban.log import Log

    given = [f"crawl.seeds={json.dumps(urls)}"] if urls else []
    inputs = {"seeds": seeds, "previous": previous}
    log = Log(as_json=as_json)
    recipe = one_stage("crawl", "crawl", inputs, out, config=config, sets=[*given, *sets])
    result = run_stage(recipe, log, dry_run=dry_run)
    if result is not None:
        print_crawl(result, out, log)


@app.command("collect")
def collect(
    raw: list[str] = typer.Argument(help="Files, folders, or hub:OWNER/NAME for a public data set."),
    out: Path = Out,
    offline: bool = typer.Option(False, "--offline", help="Fetch nothing; HF_HUB_OFFLINE=1 says so too."),
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="collect.KEY=VALUE, such as collect.carry=[title]."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Read raw files of any kind into a documents folder, as they are.

    Kinds: txt, md, rst, json, jsonl, csv, tsv, parquet, arrow, html, xml and MediaWiki dumps, pdf, docx,
    odt, epub, WARC and WET, program code, transcripts of recordings; packed as gz, zst, bz2 or xz; in zip
    and tar; folders that `datasets` saved. What could not be read is in rejects.jsonl with its place
    and reason.

    \b
    Examples:
      luban data collect books/ crawl.warc.gz dump.zip --out data/raw
      luban data collect hub:owner/name --out data/raw --set collect.text_column=body
    """
    from luban.data.readers.hub import local_inputs
    from luban.recipe import numbered

    _run("collect", numbered("raw", local_inputs(raw, offline=offline)), out, config, sets, dry_run, as_json)


@app.command("clean")
def clean(
    raw: list[Path] = typer.Argument(
        help="Files, folders or documents folders: see `collect` for the kinds."
    ),
    out: Path = Out,
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="clean.KEY=VALUE, such as clean.min_chars=100."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Read raw files, extract and repair their text, drop what is too poor to learn from.

    What was dropped is kept in dropped.jsonl with the reason, what could not be read in
    rejects.jsonl. A SOURCES.yaml beside the files gives licences and languages by file pattern.

    \b
    Examples:
      luban data clean texts/ --out data/clean
      luban data clean a.jsonl.gz pages/ --out data/clean --set clean.languages=[en,zh]
    """
    from luban.recipe import numbered

    _run("clean", numbered("raw", raw), out, config, sets, dry_run, as_json)


@app.command("protect")
def protect(
    documents: Path = typer.Argument(help="Documents folder of an earlier step; with --scan a text file."),
    out: Path | None = typer.Option(None, help="Folder to write."),
    opt_out: Path | None = typer.Option(None, help="List of URLs, domains, sources, hashes, sentences."),
    scan: bool = typer.Option(False, "--scan", help="Show what would be masked in a text file; no --out."),
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="protect.KEY=VALUE, such as protect.mode=remove."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Mask personal data and secrets; drop what its licence or its owner forbids.

    Secrets are e-mail addresses, telephones, ID and bank card numbers, keys, names in forms, and more.

    \b
    Examples:
      luban data protect data/clean --out data/safe
      luban data protect data/clean --out data/safe --set protect.mode=pseudonym
      luban data protect notes.txt --scan
    """
    from luban.cli.protect import needs_out, print_scan

    if scan:
        print_scan(documents, as_json)
    else:
        inputs = {"documents": documents, "opt_out": opt_out}
        _run("protect", inputs, needs_out(out), config, sets, dry_run, as_json)


@app.command("dedup")
def dedup(
    documents: Path = Documents,
    out: Path = Out,
    against: list[Path] = typer.Option([], help="Folders deduplicated earlier, to compare with too."),
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="dedup.KEY=VALUE, such as dedup.threshold=0.8."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Drop exact and near duplicates; mark clusters of similar documents.

    \b
    Examples:
      luban data dedup data/clean --out data/dedup
      luban data dedup data/new-crawl --against data/dedup --out data/new
    """
    from luban.recipe import numbered

    inputs = {"documents": documents, **numbered("index", against)}
    _run("dedup", inputs, out, config, sets, dry_run, as_json)


@app.command("split")
def split(
    documents: Path = Documents,
    out: Path = Out,
    previous: Path | None = typer.Option(None, help="Folder split earlier, whose documents keep their part."),
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="split.KEY=VALUE, such as split.test=0.1."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Part documents into train, validation and test, similar ones together.

    \b
    Examples:
      luban data split data/dedup --out data/split
      luban data split data/dedup --out data/split --set split.group=site --set split.stratify=language
    """
    _run("split", {"documents": documents, "previous": previous}, out, config, sets, dry_run, as_json)


@app.command("leaks")
def leaks(
    documents: Path = Documents,
    out: Path = Out,
    against: list[Path] = typer.Option([], help="Evaluation sets to look for: jsonl, csv, parquet, text."),
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="leaks.KEY=VALUE, such as leaks.action=drop."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Find test documents and evaluation items in the training text; flag or drop what holds them.

    Every overlap is in leaks.jsonl: the nearest training document of each document that is held out, and
    the document that holds most of each evaluation item.

    \b
    Example:
      luban data leaks data/split --against humaneval.jsonl --against gsm8k.jsonl --out data/safe
    """
    from luban.cli.leaks import print_leaks
    from luban.recipe import numbered

    inputs = {"documents": documents, **numbered("evaluation", against)}
    facts = _run("leaks", inputs, out, config, sets, dry_run, as_json)
    if facts and not as_json:
        print_leaks(facts)


@app.command("shard")
def shard(
    documents: Path = Documents,
    tokenizer: Path = typer.Option(help="Tokenizer folder."),
    out: Path = Out,
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="shard.KEY=VALUE."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Write the documents as memory-mapped tokens, ready to train on.

    \b
    Example:
      luban data shard data/split --tokenizer data/tokenizer --out data/shards
    """
    inputs = {"documents": documents, "tokenizer": tokenizer}
    _run("shard", inputs, out, config, sets, dry_run, as_json)


@app.command("convert")
def convert(
    data: list[Path] = typer.Argument(None, help="Files or folders of rows."),
    to: str = typer.Option("jsonl", help="Format to write: see --formats."),
    out: Path | None = typer.Option(None, help="File to write, or folder."),
    reads: str | None = typer.Option(None, "--from", help="Format of the input; else found by itself."),
    labels: list[str] = typer.Option([], "--label", help="Label for the rows of an input; one for each."),
    known: list[str] = typer.Option([], "--known", help="A label that may occur; others are set aside."),
    formats: bool = typer.Option(False, "--formats", help="List the formats and what each loses."),
    as_json: bool = Json,
) -> None:
    """Convert rows between tables, chats, questions, spans and labels; set aside those that do not fit.

    A file's rejects lie beside it, a folder's in it: each with its line and reason.

    \b
    Examples:
      luban data convert talks.jsonl --to sharegpt --out talks.json
      luban data convert project.json --from label-studio --to conll --out names.conll
      luban data convert good/ raw/ --label good --label bad --out rows.jsonl
    """
    from luban.cli.labels import convert_rows, print_formats

    if formats:
        print_formats(as_json=as_json)
    else:
        convert_rows(
            data or [], out, {"to": to, "reads": reads, "labels": labels, "known": known}, as_json=as_json
        )


@app.command("label")
def label(
    documents: Path = Documents,
    rules: Path | None = typer.Option(None, help="YAML file with rules that vote."),
    model: Path | None = typer.Option(None, help="Folder of a classifier."),
    out: Path = Out,
    config: Path | None = Config,
    sets: list[str] = typer.Option([], "--set", help="label.KEY=VALUE, such as label.keep=[good]."),
    dry_run: bool = DryRun,
    as_json: bool = Json,
) -> None:
    """Label documents by rules, a classifier or both; with label.keep, drop those with other labels.

    \b
    Examples:
      luban data label data/clean --rules rules.yaml --out data/labelled
      luban data label data/clean --model runs/quality --out data/good --set label.keep=[good]
    """
    _run(
        "label", {"documents": documents, "rules": rules, "model": model}, out, config, sets, dry_run, as_json
    )


@app.command("describe")
def describe(
    folder: Path = typer.Argument(help="Folder that a step from collect to shard wrote."),
    html: Path | None = typer.Option(None, help="Page to write: plots, phrases, samples kept and dropped."),
    tokenizer: Path | None = typer.Option(None, help="Tokenizer folder: count tokens per language."),
    samples: int = typer.Option(3, min=0, max=50, help="Documents shown of each language and drop."),
    workers: int = typer.Option(0, min=0, help="Processes; 0 takes one for each core."),
    verify: bool = typer.Option(
        False, "--verify", help="For shards: check every byte by its checksum first."
    ),
    as_json: bool = Json,
) -> None:
    """Show what a folder holds: funnel, languages, sources, lengths, quality, words, tokens, drops.

    \b
    Examples:
      luban data describe data/clean
      luban data describe data/split --tokenizer data/tokenizer --html split.html
      luban data describe data/shards --verify
    """
    from luban.cli.describe import print_description
    from luban.data.describe import describe_folder
    from luban.data.settings import WorkSettings
    from luban.log import Log

    verified = _verified(folder) if verify else {}
    settings = WorkSettings(workers=workers)
    facts = describe_folder(folder, tokenizer=tokenizer, samples=samples, settings=settings) | verified
    if html is not None:
        from luban.report.data_page import write_data_page

        write_data_page(folder.resolve().name, facts, html)
    if as_json:
        Log(as_json=True).result(facts)
    else:
        print_description(facts)


@app.command("diff")
def diff(
    first: Path = typer.Argument(metavar="A", help="Documents folder."),
    second: Path = typer.Argument(metavar="B", help="The one to compare it with."),
    samples: int = typer.Option(3, min=0, max=50, help="Documents shown of each kind."),
    exit_code: bool = typer.Option(False, "--exit-code", help="Exit with 3 if the documents differ."),
    as_json: bool = Json,
) -> None:
    """Show what differs in two documents folders: what came, went, changed, moved or was renamed.

    \b
    Examples:
      luban data diff data/clean-monday data/clean
      luban data diff data/split backup/split --exit-code
    """
    from luban.cli.difference import show_difference

    show_difference(first, second, samples, exit_code=exit_code, as_json=as_json)


def _verified(folder: Path) -> dict[str, Any]:
    from luban.data.verify import verify_shards

    return {"verified": verify_shards(folder)}


def _run(
    name: str,
    inputs: Mapping[str, Path | str | None],
    out: Path,
    config: Path | None,
    sets: list[str],
    dry_run: bool,
    as_json: bool,
) -> dict[str, Any] | None:
    """Run one stage, print its facts and return them; None for a dry run."""
    from luban.cli.facts import print_facts
    from luban.cli.stage import one_stage, run_stage
    from luban.log import Log

    log = Log(as_json=as_json)
    result = run_stage(one_stage(name, name, inputs, out, config=config, sets=sets), log, dry_run=dry_run)
    if result is None:
        return None
    facts = result.manifest.facts
    if as_json:
        log.result({"stage": name, "status": result.status, "out": str(out), "counts": facts["counts"]})
    else:
        print_facts(facts)
    return facts
