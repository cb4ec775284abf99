"""Peer 2, what a team would write: FastAPI, pydantic, SQLAlchemy 2 async, asyncpg, PostgreSQL.

Written to be fast within these tools: one query for the key and one for the page with its total,
columns instead of entities, a pool, reads without BEGIN, answers written by pydantic itself, a
group with its numbers in one transaction and two statements. Its order is an identity column and
its total a count, so that creates of one customer do not wait for each other. A bind locks the
virtual number that it takes and passes over those that others have locked, so that binds do not
wait for each other either. It keeps access secrets in clear, and no metrics, audit entries or
traces of calls: all would cost more.

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
from framework_models import (
    CHOOSE,
    COUNT,
    COUNT_UP,
    FIND_KEY,
    LIST,
    WHO,
    BindAXB,
    Binding,
    Bound,
    Call,
    Called,
    Created,
    CreateGroup,
    Group,
    Listed,
    ListedGroup,
    ListGroup,
    Member,
    Page,
    Place,
    QueryAXB,
    Seat,
)
from pydantic import BaseModel, ValidationError
from sqlalchemy import insert, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

SKEW_MS = 60_000
COUNTRIES = ("852", "853", "886", "86", "65", "44", "1")
"""The calling codes of the countries that the team serves; the longer ones first."""


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


async def bind_axb(signed: Signed) -> BaseModel:
    """Bind two phones on the virtual number with the fewest bindings: one transaction."""
    request = BindAXB.model_validate_json(signed.body)
    phones = [request.phoneA.lstrip("+"), request.phoneB.lstrip("+")]
    if phones[0] == phones[1]:
        raise HTTPException(400, "same binding number")
    country = next((code for code in COUNTRIES if phones[0].startswith(code)), None)
    if country is None or not phones[1].startswith(country):
        raise HTTPException(400, "different prefix for binding numbers")
    pair = {"customer_id": signed.customer_id, "phone_a": phones[0], "phone_b": phones[1]}
    bind_id = secrets.token_hex(16)
    try:
        async with AsyncSession(app.state.writes) as session, session.begin():
            did = (await session.execute(CHOOSE, pair | {"country": country})).scalar_one_or_none()
            if did is None:
                raise HTTPException(409, "virtual number exhausted")
            await (await session.connection()).execute(COUNT_UP, {"taken": did})
            binding = pair | {
                "bind_id": bind_id,
                "customer_bind_id": request.customerBindId,
                "did": did,
                "flag": request.flag,
                "expires_at": int(time.time()) + request.expireSecond
                if request.expireSecond
                else 2**53,
            }
            await session.execute(insert(Binding).inline(), binding)
            seats = [{"phone": phone, "did": did, "bind_id": bind_id} for phone in phones]
            await session.execute(insert(Seat), seats)
    except IntegrityError as error:
        raise HTTPException(409, "binding conflict") from error
    return Bound(requestId=new_request_id(), data=Place(bindId=bind_id, did=did))


async def query_axb(signed: Signed) -> BaseModel:
    """Return who is called: one query by seat."""
    request = QueryAXB.model_validate_json(signed.body)
    caller = request.caller.lstrip("+")
    asked = {
        "customer_id": signed.customer_id,
        "caller": caller,
        "did": request.did.lstrip("+"),
        "now": int(time.time()),
    }
    async with app.state.reads.connect() as connection:
        found = (await connection.execute(WHO, asked)).one_or_none()
    if found is None:
        raise HTTPException(404, "binding not exist")
    callee = found.phone_b if caller == found.phone_a else found.phone_a
    call = Call(callee=callee, callId=new_request_id(), flag=found.flag)
    return Called(requestId=new_request_id(), data=call)


ACTIONS = {
    "listGroup": list_group,
    "createGroup": create_group,
    "bindAXB": bind_axb,
    "queryAXB": query_axb,
}


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
