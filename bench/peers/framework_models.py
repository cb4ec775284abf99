"""Tables, statements, requests and answers of the framework peer; see framework.py."""

from pydantic import BaseModel, Field
from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables."""


class AccessKey(Base):
    """An access key and its customer."""

    __tablename__ = "peer_access_key"
    access_key: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[str]
    customer_id: Mapped[str]
    disabled: Mapped[bool] = mapped_column(default=False)


class Group(Base):
    """A number group; its numbers stand in it as the text that is answered."""

    __tablename__ = "peer_group"
    __table_args__ = (Index("peer_group_page", "customer_id", "seq"),)
    group_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(Identity())
    customer_id: Mapped[str]
    group_name: Mapped[str]
    phones: Mapped[str]
    remark: Mapped[str]


class Member(Base):
    """One number of a group."""

    __tablename__ = "peer_member"
    group_id: Mapped[str] = mapped_column(ForeignKey("peer_group.group_id"), primary_key=True)
    phone: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]


class Number(Base):
    """A virtual number, and how many bindings stand on it."""

    __tablename__ = "peer_number"
    __table_args__ = (
        Index("peer_number_choice", "customer_id", "country", "binding_count", "did"),
    )
    did: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    country: Mapped[str]
    binding_count: Mapped[int] = mapped_column(default=0)


class Binding(Base):
    """A binding of two phones; it ends at a time in s since 1970."""

    __tablename__ = "peer_binding"
    __table_args__ = (UniqueConstraint("customer_id", "customer_bind_id"),)
    bind_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    customer_bind_id: Mapped[str | None]
    did: Mapped[str]
    phone_a: Mapped[str]
    phone_b: Mapped[str]
    flag: Mapped[int]
    expires_at: Mapped[int] = mapped_column(BigInteger)


class Seat(Base):
    """What a binding holds: a phone on a virtual number, which nobody else can hold."""

    __tablename__ = "peer_seat"
    phone: Mapped[str] = mapped_column(primary_key=True)
    did: Mapped[str] = mapped_column(primary_key=True)
    bind_id: Mapped[str] = mapped_column(ForeignKey("peer_binding.bind_id"))


class ListGroup(BaseModel):
    """The body of listGroup."""

    limit: int = Field(ge=0, le=1000, strict=True)
    offset: int = Field(ge=0, strict=True)


class CreateGroup(BaseModel):
    """The body of createGroup."""

    phones: str = Field(pattern=r"^\+?[1-9][0-9]{4,14}(,\+?[1-9][0-9]{4,14})*$")
    groupName: str | None = Field(default=None, max_length=128)  # noqa: N815
    remark: str | None = Field(default=None, max_length=512)


PHONE = r"^\+?[1-9][0-9]{4,14}$"


class BindAXB(BaseModel):
    """The body of bindAXB."""

    phoneA: str = Field(pattern=PHONE)  # noqa: N815
    phoneB: str = Field(pattern=PHONE)  # noqa: N815
    customerBindId: str | None = Field(default=None, max_length=128)  # noqa: N815
    flag: int = Field(default=0, ge=0, le=1, strict=True)
    expireSecond: int = Field(ge=0, le=315_360_000, strict=True)  # noqa: N815


class QueryAXB(BaseModel):
    """The body of queryAXB."""

    caller: str = Field(pattern=r"^\+?[0-9]{1,15}$")
    did: str = Field(pattern=PHONE)


class ListedGroup(BaseModel):
    """A group of a page."""

    customerId: str  # noqa: N815
    groupName: str  # noqa: N815
    groupId: str  # noqa: N815
    phones: str
    remark: str


class Page(BaseModel):
    """A page of groups."""

    groups: list[ListedGroup]
    total: int


class Listed(BaseModel):
    """The answer of listGroup."""

    code: int = 0
    msg: str = "success"
    requestId: str  # noqa: N815
    data: Page


class Created(BaseModel):
    """The answer of createGroup."""

    code: int = 0
    msg: str = "success"
    requestId: str  # noqa: N815
    groupId: str  # noqa: N815


class Place(BaseModel):
    """Where a binding stands."""

    bindId: str  # noqa: N815
    did: str


class Bound(BaseModel):
    """The answer of bindAXB."""

    code: int = 0
    msg: str = "success"
    requestId: str  # noqa: N815
    data: Place


class Call(BaseModel):
    """Whom to call."""

    callee: str
    callId: str  # noqa: N815
    flag: int
    audioWhenCallFail: str = ""  # noqa: N815
    bindType: int = 1  # noqa: N815
    audioWhenDtmfErr: str = ""  # noqa: N815
    audioWhenDtmfNeed: str = ""  # noqa: N815


class Called(BaseModel):
    """The answer of queryAXB."""

    code: int = 0
    msg: str = "success"
    requestId: str  # noqa: N815
    data: Call


FIND_KEY = select(AccessKey.secret, AccessKey.customer_id, AccessKey.disabled).where(
    AccessKey.access_key == bindparam("access_key")
)
COUNT = select(func.count()).select_from(Group).where(Group.customer_id == bindparam("customer_id"))
LIST = (
    select(
        Group.customer_id,
        Group.group_name,
        Group.group_id,
        Group.phones,
        Group.remark,
        COUNT.scalar_subquery().label("total"),
    )
    .where(Group.customer_id == bindparam("customer_id"))
    .order_by(Group.seq)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)


CHOOSE = (
    select(Number.did)
    .where(
        Number.customer_id == bindparam("customer_id"),
        Number.country == bindparam("country"),
        Number.did.not_in(
            select(Seat.did).where(Seat.phone.in_([bindparam("phone_a"), bindparam("phone_b")]))
        ),
    )
    .order_by(Number.binding_count, Number.did)
    .limit(1)
    .with_for_update(skip_locked=True)
)
COUNT_UP = (
    update(Number)
    .where(Number.did == bindparam("taken"))
    .values(binding_count=Number.binding_count + 1)
)
WHO = (
    select(Binding.phone_a, Binding.phone_b, Binding.flag)
    .join(Seat, Seat.bind_id == Binding.bind_id)
    .where(
        Seat.phone == bindparam("caller"),
        Seat.did == bindparam("did"),
        Binding.customer_id == bindparam("customer_id"),
        Binding.expires_at > bindparam("now"),
    )
)
