"""Accounts: who may log in, what they and their groups may do, and who changed that.

Nobody hands out more than he has himself, nor manages an account or a group that has more: who could set the
password of another could act in his name. A name that stands in the audit trail is one person's for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import CASCADE, ForeignObjectRel, Q, QuerySet

from portfolio_site.kernel.locks import lock_rows
from portfolios.models import AuditEvent, Portfolio, PortfolioAccess, PortfolioRole
from portfolios.services.audit import SYSTEM_ACTOR, Actor, actor_name, audit_append

COLUMNS = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "is_superuser")
USER_FIELDS = (*COLUMNS, "groups", "user_permissions")
GROUP_FIELDS = ("name", "permissions")
OWNER = "owner"
# What else somebody may do who has a role.
INCLUDED: Mapping[str, set[str]] = {
    OWNER: set(PortfolioRole.values),
    PortfolioRole.MANAGER: set(PortfolioRole.values),
    PortfolioRole.MAKER: {PortfolioRole.VIEWER},
    PortfolioRole.CHECKER: {PortfolioRole.VIEWER},
}

Holder = User | Group


@dataclass(frozen=True)
class Authority:
    """All that a person or a group may do; of an account that is not active, what it might if it were."""

    is_superuser: bool = False
    permissions: frozenset[int] = frozenset()
    roles: frozenset[tuple[int, str]] = frozenset()

    def covers(self, other: "Authority") -> bool:
        if self.is_superuser:
            return True
        return not other.is_superuser and other.permissions <= self.permissions and other.roles <= self.roles


def authority_of(holder: Holder) -> Authority:
    if isinstance(holder, User):
        if holder.is_superuser:
            return Authority(is_superuser=True)
        permissions = Permission.objects.filter(Q(user=holder) | Q(group__user=holder))
        owned = [(pk, OWNER) for pk in Portfolio.objects.filter(owner=holder).values_list("pk", flat=True)]
    else:
        permissions, owned = Permission.objects.filter(group=holder), []
    roles = [*_access(holder).values_list("portfolio", "role"), *owned]
    return Authority(
        permissions=frozenset(permissions.values_list("pk", flat=True)),
        roles=frozenset(
            (portfolio, part) for portfolio, role in roles for part in {role} | INCLUDED.get(role, set())
        ),
    )


def may_manage(actor: Actor, holder: Holder) -> bool:
    """Whether somebody's own authority covers that of the account or group."""
    if actor is None or actor.is_superuser:
        return True
    return isinstance(actor, User) and authority_of(actor).covers(authority_of(holder))


def permissions_within(actor: User) -> QuerySet[Permission]:
    """Those that somebody may hand out."""
    if actor.is_superuser:
        return Permission.objects.all()
    return Permission.objects.filter(pk__in=authority_of(actor).permissions)


def groups_within(actor: User) -> QuerySet[Group]:
    """Those that somebody may add people to."""
    groups = Group.objects.all()
    if actor.is_superuser:
        return groups
    held = authority_of(actor)
    return groups.filter(pk__in=[group.pk for group in groups if held.covers(authority_of(group))])


@transaction.atomic
def user_create(*, password: str | None = None, actor: Actor = None, reason: str = "", **fields: Any) -> User:
    """A new account; `fields` are those of USER_FIELDS. Without a password nobody can log in with one.

    Raises ValidationError and PermissionDenied.
    """
    held = _authority(actor, "auth.add_user")
    check_username(fields.get("username", ""))
    user = User()
    user.set_password(password)
    _fill_user(user, fields)
    _refuse_beyond(held, user, actor)
    _record(
        user,
        "user.created",
        actor,
        after={**_user_content(user), "password": "none" if password is None else "set"},
        reason=reason,
    )
    return user


@transaction.atomic
def user_update(user: User, *, actor: Actor = None, reason: str = "", **changes: Any) -> User:
    """Set fields of USER_FIELDS; what stands there already is no change.

    Raises ValidationError and PermissionDenied.
    """
    held = _authority(actor, "auth.change_user")
    _lock_user(user)
    _refuse_beyond(held, user, actor)
    before = _user_content(user)
    check_username(changes.get("username", user.username), before=user.username)
    _fill_user(user, changes)
    _refuse_beyond(held, user, actor)
    _record_changes(user, "user.changed", actor, before, _user_content(user), reason)
    return user


@transaction.atomic
def user_set_password(user: User, password: str | None, *, actor: Actor = None, reason: str = "") -> User:
    """Everybody may set his own; None: nobody can log in with one. Raises PermissionDenied."""
    if actor is None or actor.pk != user.pk:
        held = _authority(actor, "auth.change_user")
        _lock_user(user)
        _refuse_beyond(held, user, actor)
    user.set_password(password)
    user.save(update_fields=["password"])
    done = "disabled" if password is None else "changed"
    after = {"username": user.username, "password": done}
    _record(user, "user.password_changed", actor, after=after, reason=reason)
    return user


@transaction.atomic
def user_delete(user: User, *, actor: Actor = None, reason: str = "") -> None:
    """With portfolio access and API token. Raises ValidationError and PermissionDenied."""
    held = _authority(actor, "auth.delete_user")
    _lock_user(user)
    _refuse_beyond(held, user, actor)
    check_user_unknown(user)
    before = {**_user_content(user), "access": _access_texts(_access(user).filter(user=user))}
    _record(user, "user.deleted", actor, before=before, reason=reason)
    user.delete()


@transaction.atomic
def group_create(*, actor: Actor = None, reason: str = "", **fields: Any) -> Group:
    """`fields` are those of GROUP_FIELDS. Raises ValidationError and PermissionDenied."""
    held = _authority(actor, "auth.add_group")
    group = Group()
    _fill_group(group, fields)
    _refuse_beyond(held, group, actor)
    _record(group, "group.created", actor, after=_group_content(group), reason=reason)
    return group


@transaction.atomic
def group_update(group: Group, *, actor: Actor = None, reason: str = "", **changes: Any) -> Group:
    """Set fields of GROUP_FIELDS. Raises ValidationError and PermissionDenied."""
    held = _authority(actor, "auth.change_group")
    _lock_group(group)
    _refuse_beyond(held, group, actor)
    before = _group_content(group)
    _fill_group(group, changes)
    _refuse_beyond(held, group, actor)
    _record_changes(group, "group.changed", actor, before, _group_content(group), reason)
    return group


@transaction.atomic
def group_delete(group: Group, *, actor: Actor = None, reason: str = "") -> None:
    """Its members lose what they had through it. Raises PermissionDenied."""
    held = _authority(actor, "auth.delete_group")
    _lock_group(group)
    _refuse_beyond(held, group, actor)
    members = User.objects.filter(groups=group).order_by("username").values_list("username", flat=True)
    before = {**_group_content(group), "members": list(members), "access": _access_texts(_access(group))}
    _record(group, "group.deleted", actor, before=before, reason=reason)
    group.delete()


def check_username(name: str, *, before: str = "") -> None:
    """Refuse a name under which somebody else acted, and to give up one's own. Raises ValidationError."""
    if name == before:
        return
    if name.casefold() == SYSTEM_ACTOR or _acted(name):
        raise ValidationError(f"username {name}: stands in the audit trail as somebody else")
    if before and _acted(before):
        raise ValidationError(f"username {before}: stands in the audit trail and stays with this account")


def check_user_unknown(user: User) -> None:
    """Refuse to delete who appears in a decision or in the audit trail. Raises ValidationError."""
    places = ["the audit trail"] if _acted(user.username) else []
    places += sorted(_places(user))
    if places:
        raise ValidationError(
            f"{user.username} appears in {', '.join(places)}: deactivate the account, it is not deleted"
        )


def _acted(name: str) -> bool:
    return AuditEvent.objects.filter(actor=name).order_by().exists()


def _places(user: User) -> set[str]:
    """The tables with rows that name the user and are more than his own access to the site."""
    places = set()
    for relation in User._meta.get_fields(include_hidden=True):
        if not isinstance(relation, ForeignObjectRel) or relation.many_to_many:
            continue
        model = relation.related_model
        if relation.on_delete is CASCADE and model is not LogEntry:
            continue
        if model._base_manager.filter(**{relation.field.name: user.pk}).exists():
            places.add(str(model._meta.verbose_name_plural))
    return places


def _authority(actor: Actor, permission: str) -> Authority:
    """What somebody may hand out, if he may do this at all; the program itself may do everything."""
    if actor is None:
        return Authority(is_superuser=True)
    # As he stands in the table: the object may be the very account that is about to be changed.
    person = User.objects.filter(pk=actor.pk).first() if isinstance(actor, User) else None
    if person is None or not person.has_perm(permission):
        raise PermissionDenied(f"{actor_name(actor)} lacks the permission {permission}")
    return authority_of(person)


def _refuse_beyond(held: Authority, holder: Holder, actor: Actor) -> None:
    if not held.covers(authority_of(holder)):
        raise PermissionDenied(f"{actor_name(actor)} may not manage {holder}, who may do more or would then")


def _lock_user(user: User) -> None:
    lock_rows(User, [user.pk])
    user.refresh_from_db()


def _lock_group(group: Group) -> None:
    lock_rows(Group, [group.pk])
    group.refresh_from_db()


def _fill_user(user: User, fields: Mapping[str, Any]) -> None:
    _check_known(fields, USER_FIELDS)
    for name in fields.keys() & set(COLUMNS):
        setattr(user, name, fields[name])
    user.full_clean()
    user.save()
    if "groups" in fields:
        # Nobody gives them more before it is known whether this was too much.
        lock_rows(Group, [group.pk for group in fields["groups"]])
        user.groups.set(fields["groups"])
    if "user_permissions" in fields:
        user.user_permissions.set(fields["user_permissions"])


def _fill_group(group: Group, fields: Mapping[str, Any]) -> None:
    _check_known(fields, GROUP_FIELDS)
    group.name = fields.get("name", group.name)
    group.full_clean()
    group.save()
    if "permissions" in fields:
        group.permissions.set(fields["permissions"])


def _check_known(fields: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = fields.keys() - set(known)
    if unknown:
        raise TypeError(f"no field of an account: {', '.join(sorted(unknown))}")


def _user_content(user: User) -> dict[str, Any]:
    return {
        **{name: getattr(user, name) for name in COLUMNS},
        "groups": sorted(user.groups.values_list("name", flat=True)),
        "user_permissions": _permission_texts(user.user_permissions.all()),
    }


def _group_content(group: Group) -> dict[str, Any]:
    return {"name": group.name, "permissions": _permission_texts(group.permissions.all())}


def _permission_texts(permissions: QuerySet[Permission]) -> list[str]:
    return sorted(str(permission) for permission in permissions.select_related("content_type"))


def _access(holder: Holder) -> QuerySet[PortfolioAccess]:
    access = PortfolioAccess.objects.all()
    if isinstance(holder, Group):
        return access.filter(group=holder)
    return access.filter(Q(user=holder) | Q(group__user=holder))


def _access_texts(access: QuerySet[PortfolioAccess]) -> list[str]:
    rows = access.order_by("portfolio__code", "role").values_list("portfolio__code", "role")
    return [f"{code}: {role}" for code, role in rows]


def _record_changes(
    holder: Holder, action: str, actor: Actor, before: dict[str, Any], after: dict[str, Any], reason: str
) -> None:
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        _record(
            holder,
            action,
            actor,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
            reason=reason,
        )


def _record(holder: Holder, action: str, actor: Actor, **details: Any) -> None:
    audit_append(
        action=action,
        object_type="group" if isinstance(holder, Group) else "user",
        object_id=holder.pk,
        actor=actor,
        **details,
    )
