"""Peer 2, what a team would write: FastAPI, pydantic, SQLAlchemy 2 async, asyncpg, PostgreSQL.

Written to be fast within these tools: one query for the key and one for the page with its total,
columns instead of entities, a pool, reads without BEGIN, answers written by pydantic itself, a
group with its numbers in one transaction and two statements. Its order is an identity column and
its total a count, so that creates of one customer do not wait for each other. It keeps access
secrets in clear, and no metrics: both would cost more.

    python bench/peers/framework.py PORT URL
"""

import hashlib
import hmac
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import ForeignKey, Identity, Index, bindparam, func, insert, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SKEW_MS = 60_000


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


class ListGroup(BaseModel):
    """The body of listGroup."""

    limit: int = Field(ge=0, le=1000, strict=True)
    offset: int = Field(ge=0, strict=True)


class CreateGroup(BaseModel):
    """The body of createGroup."""

    phones: str = Field(pattern=r"^\+?[1-9][0-9]{4,14}(,\+?[1-9][0-9]{4,14})*$")
    groupName: str | None = Field(default=None, max_length=128)  # noqa: N815
    remark: str | None = Field(default=None, max_length=512)


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


class Signed(BaseModel):
    """A request whose signature was checked."""

    customer_id: str
    action: str
    body: bytes


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool."""
    engine: AsyncEngine = create_async_engine(
        make_url(sys.argv[2]).set(drivername="postgresql+asyncpg"), pool_size=16, max_overflow=0
    )
    app.state.reads = engine.execution_options(isolation_level="AUTOCOMMIT")
    app.state.writes = engine
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan, openapi_url=None)


async def authenticated(request: Request) -> Signed:
    """Check the key, the time and the signature of a request."""
    headers, body = request.headers, await request.body()
    try:
        access_key, action, ts = headers["accessKey"], headers["action"], headers["ts"]
        sign, is_fresh = headers["sign"], abs(time.time() * 1000 - int(ts)) <= SKEW_MS
    except (KeyError, ValueError) as error:
        raise HTTPException(400, "missing common parameters") from error
    async with app.state.reads.connect() as connection:
        key = (await connection.execute(FIND_KEY, {"access_key": access_key})).one_or_none()
    if key is None or key.disabled:
        raise HTTPException(403, "insufficient permissions")
    text = (
        f"accessKey={access_key}&action={action}&bizType={headers.get('bizType')}&ts={ts}"
        f"&body={body.decode()}&accessSecret={key.secret}"
    )
    expected = hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - the protocol's default
    if not is_fresh or not hmac.compare_digest(expected, sign):
        raise HTTPException(401, "invalid signature or timestamp")
    return Signed(customer_id=key.customer_id, action=action, body=body)


@app.post("/api/pns/")
async def respond(signed: Annotated[Signed, Depends(authenticated)]) -> Response:
    """Respond to one request."""
    action = ACTIONS.get(signed.action)
    if action is None:
        raise HTTPException(400, "parameter error: action")
    try:
        answer = await action(signed)
    except ValidationError as error:
        raise HTTPException(400, "parameter error") from error
    return Response(answer.model_dump_json(), media_type="application/json")


async def list_group(signed: Signed) -> BaseModel:
    """Return a page of the customer's groups."""
    request = ListGroup.model_validate_json(signed.body)
    params: dict[str, Any] = {
        "customer_id": signed.customer_id,
        "limit": request.limit or 1000,
        "offset": request.offset,
    }
    async with app.state.reads.connect() as connection:
        rows = (await connection.execute(LIST, params)).all()
        total = rows[0].total if rows else (await connection.execute(COUNT, params)).scalar_one()
    groups = [
        ListedGroup(
            customerId=customer_id,
            groupName=group_name,
            groupId=group_id,
            phones=phones,
            remark=remark,
        )
        for customer_id, group_name, group_id, phones, remark, _ in rows
    ]
    return Listed(requestId=new_request_id(), data=Page(groups=groups, total=total))


async def create_group(signed: Signed) -> BaseModel:
    """Create a group of the customer: one transaction."""
    request = CreateGroup.model_validate_json(signed.body)
    phones = list(dict.fromkeys(phone.lstrip("+") for phone in request.phones.split(",")))
    group_id = secrets.token_hex(16)
    group = {
        "group_id": group_id,
        "customer_id": signed.customer_id,
        "group_name": request.groupName or group_id,
        "phones": ",".join(phones),
        "remark": request.remark or "",
    }
    members = [
        {"group_id": group_id, "phone": phone, "position": position}
        for position, phone in enumerate(phones)
    ]
    async with AsyncSession(app.state.writes) as session, session.begin():
        await session.execute(insert(Group).inline(), group)
        await session.execute(insert(Member), members)
    return Created(requestId=new_request_id(), groupId=group_id)


ACTIONS = {"listGroup": list_group, "createGroup": create_group}


def new_request_id() -> str:
    """Return an id of the width of openpns's."""
    return str(time.time_ns())


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
