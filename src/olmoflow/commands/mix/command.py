"""``olmoflow mix``: token shards into the proportions that a model is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from olmoflow.artifact import Artifact, Claim, Input, claim, open_artifact, resolve
from olmoflow.commands.inputs.mixtures import FOLDER, find_mixture, member_names
from olmoflow.commands.mix.swarm_runs import (
    described,
    evaluations_of,
    scores_of,
    shares_of,
    swarm_checkpoints,
    tokens_of,
)
from olmoflow.curate.mixing.domains import (
    Domain,
    Mixture,
    as_mixture,
    caps,
    collapse,
    expand,
    freeze,
)
from olmoflow.errors import UserError

RULES = ("natural", "fixed", "swarm", "fitted")


@dataclass(frozen=True)
class Space:
    """What is mixed.

    Attributes:
        domains: They get proportions.
        shards: The token shards by domain, those within virtual domains included.
        inputs: All artifacts that this was read from.
        frozen: By virtual domain, the mixture that it is.
    """

    domains: list[Domain]
    shards: dict[str, Input]
    inputs: list[Input]
    frozen: dict[str, str]


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Mix; see ``conf/mix.yaml`` for the settings."""
    if config["rule"] not in RULES:
        raise UserError(f"rule={config['rule']}: expected one of {', '.join(RULES)}")
    space = find_space(config)
    runs = swarm_checkpoints(config) if config["rule"] == "fitted" else []
    fixed = {**config, "shards": None, "runs": None, "frozen": space.frozen}
    used = [Input(f"runs[{n}]", a.kind, a.name, a.key, a.path) for n, a in enumerate(runs)]
    scores = evaluations_of(runs)
    with claim(
        "mixture",
        command="mix",
        config=fixed,
        inputs=[*space.inputs, *used, *scores],
        name=config["name"],
    ) as work:
        if work.finished is None:
            prior = _prior(config, space.domains)
            mixtures, figures = _mixtures(config, space, prior, runs, work)
            work.finish(_write(config, space, mixtures, work) | figures)
    assert work.finished is not None
    name, done = work.finished.name, work.finished.figures
    members = [f"{name}/{member}" for member in done["proportions"]]
    return {"mixture": name, "path": str(work.path), "mixtures": members, **done}


def report(result: Mapping[str, Any]) -> None:
    """The proportions as a table; of a swarm, where they reach."""
    from rich.table import Table

    from olmoflow.commands.command_line.tables import print_table

    members = result["proportions"]
    if len(members) > _SHOWN:
        rows = np.array([[m.get(d, 0.0) for d in result["domains"]] for m in members.values()])
        columns = {"lowest": rows.min(0), "mean": rows.mean(0), "highest": rows.max(0)}
    else:
        columns = {
            n: np.array([m.get(d, 0.0) for d in result["domains"]]) for n, m in members.items()
        }
    table = Table(box=None, header_style="bold")
    table.add_column("domain")
    table.add_column("tokens", justify="right")
    for name in columns:
        table.add_column(name, justify="right")
    for i, (domain, about) in enumerate(result["domains"].items()):
        shares = (f"{column[i]:.1%}" for column in columns.values())
        table.add_row(domain, f"{about['tokens']:,}", *shares)
    print_table(table)
    for task, law in (result.get("law") or {}).items():
        print(
            f"{task}: predicted {law['prior']:.4f} -> {law['proposal']:.4f}, "
            f"the law's error {law['error']:.4f}"
        )
    several = f"{len(members)} members in " if len(members) > 1 else ""
    print(f"mixture {result['mixture']}: {several}{result['path']}")


_SHOWN = 4


def find_space(config: Mapping[str, Any]) -> Space:
    """The domains that a config names, frozen mixtures among them.

    Raises:
        UserError: A reference names nothing, or a domain stands there twice.
    """
    references = config["shards"] if isinstance(config["shards"], list) else [config["shards"]]
    frozen = config["frozen"] or {}
    inputs = [resolve(r, f"shards[{n}]", ["shards"]) for n, r in enumerate(references)]
    named = _named(inputs)
    domains = [Domain(name, tokens_of(found)) for name, found in named.items()]
    shards, members = dict(named), {}
    for name, reference in frozen.items():
        domain, parts, mixture, member = _frozen(str(name), reference)
        if repeated := parts.keys() & shards.keys() | {domain.name} & shards.keys():
            raise UserError(f"frozen.{name}: {sorted(repeated)[0]} is a domain already")
        domains.append(domain)
        shards |= parts
        inputs.append(mixture)
        members[domain.name] = f"{mixture.key}/{member}"
    return Space(domains, shards, inputs, members)


def _named(inputs: Sequence[Input]) -> dict[str, Input]:
    """Shards by their name, or where that is only a key, by the source that they are of."""
    names = [_label(found) for found in inputs]
    if len(set(names)) < len(names):
        names = [found.name for found in inputs]
    if len(set(names)) < len(names):
        raise UserError(f"shards={names}: expected each of them once")
    return dict(zip(names, inputs, strict=True))


def _label(found: Input) -> str:
    artifact = open_artifact(found.path)
    if artifact is None or artifact.name != artifact.key:
        return found.name
    return str(artifact.figures.get("source", artifact.name))


def _frozen(name: str, reference: Any) -> tuple[Domain, dict[str, Input], Input, str]:
    """An earlier mixture as one domain, its shards, its artifact, and which of it."""
    found = find_mixture(reference, f"frozen.{name}")
    (mixture,) = found.inputs
    artifact = open_artifact(mixture.path)
    if artifact is None:
        raise UserError(f"frozen.{name}={reference}: expected a mixture that olmoflow mix made")
    shares = artifact.figures["proportions"][found.member]
    about = artifact.figures["domains"]
    parts = [Domain(part, about[part]["tokens"]) for part in shares]
    shards = {p: resolve(about[p]["shards"], f"frozen.{name}.{p}", ["shards"]) for p in shares}
    return freeze(name, parts, list(shares.values())), shards, mixture, found.member


def _prior(config: Mapping[str, Any], domains: Sequence[Domain]) -> Mixture:
    from olmoflow.curate.mixing.proportions import fixed, natural, token_constrained

    if config["proportions"] is not None:
        if not isinstance(config["proportions"], Mapping):
            raise UserError(f"proportions={config['proportions']}: expected {{DOMAIN: SHARE, …}}")
        wanted = fixed(domains, config["proportions"])
    elif config["rule"] == "fixed":
        raise UserError("proportions: missing; rule=fixed needs {DOMAIN: SHARE, …}")
    else:
        wanted = natural(domains, float(config["temperature"]))
    target = _target(config)
    if target is None:
        return wanted
    return token_constrained(wanted, domains, target, float(config["max_repetition"]))


def _target(config: Mapping[str, Any]) -> float | None:
    return None if config["target_tokens"] is None else float(config["target_tokens"])


def _mixtures(
    config: Mapping[str, Any],
    space: Space,
    prior: Mixture,
    runs: Sequence[Artifact],
    work: Claim,
) -> tuple[dict[str, Mixture], dict[str, Any]]:
    """The mixtures by member, and what else is to be said of them."""
    from olmoflow.curate.mixing.swarm import propose_swarm

    rule = config["rule"]
    if rule == "swarm":
        swarm = propose_swarm(
            space.domains,
            prior,
            target_tokens=_target(config),
            max_repetition=float(config["max_repetition"]),
            **config["swarm"],
        )
        return dict(zip(member_names(rule, len(swarm)), swarm, strict=True)), {}
    if rule == "fitted":
        return _fitted(config, space, prior, runs, work)
    return {rule: prior}, {}


def _fitted(
    config: Mapping[str, Any],
    space: Space,
    prior: Mixture,
    runs: Sequence[Artifact],
    work: Claim,
) -> tuple[dict[str, Mixture], dict[str, Any]]:
    from olmoflow.curate.mixing.fitted import fit_and_propose, write_page

    settings, target = config["fit"], _target(config)
    tasks, scores = scores_of(runs, settings["suite"], settings["tasks"])
    mixtures = np.array([collapse(space.domains, shares_of(a, space.shards), a.name) for a in runs])
    fitted = fit_and_propose(
        space.domains,
        mixtures,
        scores,
        tasks,
        prior,
        caps(space.domains, target, float(config["max_repetition"])),
        target_tokens=target,
        starts=int(settings["starts"]),
        delta=float(settings["huber_delta"]),
        kl=float(settings["kl"]),
        seed=int(settings["seed"]),
    )
    write_page(fitted, work.path, described(runs))
    before, after = fitted.law.predict(np.stack([fitted.prior, fitted.proposal])).tolist()
    law = {
        task: {
            "floor": float(fitted.law.floors[i]),
            "slopes": dict(zip([d.name for d in space.domains], slopes, strict=True)),
            "prior": before[i],
            "proposal": after[i],
            "error": float(fitted.errors[i]),
        }
        for i, (task, slopes) in enumerate(zip(tasks, fitted.law.slopes.tolist(), strict=True))
    }
    return {"prior": prior, "proposal": fitted.proposal}, {"law": law, "swarm_runs": len(runs)}


def _write(
    config: Mapping[str, Any], space: Space, mixtures: Mapping[str, Mixture], work: Claim
) -> dict[str, Any]:
    """Write the files; returns the figures."""
    from olmoflow.curate.mixing.files import write_mixture, write_olmo_core

    repetition = _ANY if config["target_tokens"] is None else float(config["max_repetition"])
    paths = config["olmo_core"]
    (work.path / FOLDER).mkdir(exist_ok=True)
    proportions = {}
    for member, mixture in mixtures.items():
        shares = expand(space.domains, as_mixture(mixture, space.domains))
        proportions[member] = shares
        about = f"olmoflow mix rule={config['rule']}: {member} of {work.name}\n" + "\n".join(
            f"{share:7.2%}  {name}" for name, share in shares.items()
        )
        by_shards = {space.shards[name].name: share for name, share in shares.items()}
        write_mixture(work.path / FOLDER / f"{member}.yaml", by_shards, repetition, about)
        if paths is not None:
            (work.path / "olmo_core").mkdir(exist_ok=True)
            write_olmo_core(work.path / "olmo_core" / f"{member}.yaml", shares, repetition, paths)
    domains = {
        name: {"shards": found.name, "tokens": tokens_of(found)}
        for name, found in space.shards.items()
    }
    return {"rule": config["rule"], "domains": domains, "proportions": proportions}


# Without a cap: what conf/data/local.yaml has.
_ANY = 1000.0
