"""Requests that carry a key of their caller: what is sent twice is done once."""

import json
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from portfolio_site.kernel.canonical import canonical_json, sha256_of
from portfolios.models import RequestKey
from portfolios.services.audit import Actor


class RequestKeyConflict(Exception):
    """The key was used before, for another request; the text says for which."""


@transaction.atomic
def request_once(key: str, actor: Actor, action: str, body: Any, do: Callable[[], Any]) -> Any:
    """Carry out `do` under the actor's key, and answer the same request with the same answer ever after.

    Answers are given as JSON has them, the first time too. The key is stored in the transaction of the work:
    when `do` raises, neither stands and the key is free again. Of two requests at one instant the later
    waits for the earlier. Call it before anything is locked. Raises ValidationError, RequestKeyConflict, and
    PermissionDenied for an actor without a name.
    """
    if actor is not None and not isinstance(actor, User):
        # Nobody in person is the system, whose answers are not for strangers.
        raise PermissionDenied("a request under a key must say whose it is")
    user = actor
    claim = RequestKey(user=user, key=key, action=action, request_hash=sha256_of(body))
    claim.full_clean(exclude=["answer"], validate_unique=False, validate_constraints=False)
    try:
        # Where the same key is being used just now, the database makes this wait for that transaction's end.
        with transaction.atomic():
            claim.save(force_insert=True)
    except IntegrityError:
        return _first_answer(claim)
    claim.answer = json.loads(canonical_json(do()))
    claim.save(update_fields=["answer"])
    return claim.answer


def _first_answer(claim: RequestKey) -> Any:
    first = RequestKey.objects.get(user=claim.user, key=claim.key)
    if first.action != claim.action:
        raise RequestKeyConflict(f"the key {claim.key} was used before, for {first.action}")
    if first.request_hash != claim.request_hash:
        raise RequestKeyConflict(f"the key {claim.key} was used before, for {first.action} with another body")
    return first.answer
