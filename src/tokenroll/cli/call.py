"""`tokenroll call`: one call with its arithmetic and its proof."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from tokenroll.books.arithmetic import Step, bound_steps, charge_steps, state_text
from tokenroll.cli.console import Json, credits_text, noun_app, reports, say, show, when

_CACHE_AIDS: Final = {
    "marked": "marked for the cache",
    "keyed": "with a key for the cache",
    "withheld": "without a key for the cache, so that others can be compared with it",
}
app = noun_app("One call: bound, slices, rates, usage, settlement, postings and its place in the chain.")


@app.command("show")
def show_call(
    call: Annotated[str, typer.Argument(help="Id of the call (call_…), or the client's own id for it.")],
    *,
    as_json: Json = False,
) -> None:
    """Show one call, every attempt of it, recomputed from its own records."""
    with reports() as books:
        story = books.call(call)
    show(story, as_json=as_json, human=lambda: say(*_lines(story)))


def _lines(story: Mapping[str, Any]) -> Iterator[str]:
    yield story["call"]
    for attempt in story["attempts"]:
        yield from _attempt(attempt)


def _attempt(one: Mapping[str, Any]) -> Iterator[str]:
    card = one["rate_card"] or {}
    yield f"attempt {one['attempt']}  {state_text(one)}  {one['model']} by {one['wallet'].get('name', '-')} with key {one['key'].get('name', '-')}"
    yield f"  admitted   {when(one['admitted_at'])}   deployment {one['deployment']}   tape {one['hold_key']}"
    if "ended_at" in one:
        how = one.get("reason") or one["finish"]
        yield f"  ended      {when(one['ended_at'])}   status {one['status']}, {how.replace('_', ' ')}"
    if one.get("answered_by"):
        yield f"  answered   by {one['answered_by']}, which asked the same"
    yield f"  rate card  {card.get('provider', '-')}/{card.get('model', '-')}  {str(card.get('digest', '-'))[:16]}"
    if one["tags"]:
        yield f"  tags       {one['tags'].replace(',', ', ')}"
    if one["cache_aid"]:
        saved = one.get("marks_saved_nanos")
        yield f"  prompt     {_CACHE_AIDS[one['cache_aid']]}{'' if saved is None else f', which saved {credits_text(saved)}'}"
    if one["would_deny"]:
        yield f"  enforce would have refused it: {credits_text(one['needed_nanos'])} were needed"
    yield from _section("bound", bound_steps(one["bound"]))
    yield from _amounts("held from", one["slices"])
    if one["evidence"]:
        evidence = one["evidence"]
        yield f"  seen       {evidence['answer_bytes']} bytes of answer by {when(evidence['seen_at'])}, status {evidence['status']}"
    yield from _section("cost", charge_steps(one))
    if "consumed" in one:
        yield from _amounts("paid from", one["consumed"])
        yield from _amounts("returned to", one["returned"])
        yield "  postings"
        for leg in one["postings"]:
            yield f"    {leg['account']:<16} wallet {leg['wallet_id']:<6} lot {leg['lot_id']:<6} {credits_text(leg['nanos']):>24}"
        yield from _chain(one["chain"])


def _section(name: str, steps: Iterator[Step]) -> Iterator[str]:
    known = list(steps)
    if not known:
        return
    yield f"  {name}"
    width = max(len(step.name) for step in known)
    for step in known:
        yield f"    {step.name:<{width}}  {step.working} = {step.result}"


def _amounts(name: str, slices: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in slices:
        source = f"lot {one['lot_id']} ({one['classification']}, {one['grant']})" if one["lot_id"] else "the company"
        yield f"  {name:<11} {credits_text(one['nanos'])} {source}"


def _chain(chain: Mapping[str, Any] | None) -> Iterator[str]:
    if chain is None:
        yield "  chain      not closed yet"
        return
    sign = "✓ proof holds" if chain["proof_verified"] else "✗ PROOF FAILS"
    yield f"  chain      batch {chain['batch']}, leaf {chain['leaf_index'] + 1} of {chain['leaf_count']}  {sign}"
    yield f"    leaf     {chain['leaf_hash']}"
    yield f"    root     {chain['root']}"
    yield f"    batch    {chain['batch_hash']}"
    yield f"    previous {chain['previous_hash']}"
