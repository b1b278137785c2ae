"""`/api/v1/agents`: the agents this server can answer with."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from antiphon.api.auth import require_key
from antiphon.api.deps import ServerDep
from antiphon.api.models import NOT_FOUND, UNAUTHORIZED
from antiphon.domain.agent import AgentDefinition

router = APIRouter(
    prefix="/api/v1/agents",
    tags=["agents"],
    dependencies=[Depends(require_key)],
    responses=UNAUTHORIZED,
)


class AgentView(BaseModel):
    """One agent in short."""

    name: str
    title: str
    description: str
    language: str
    services: dict[str, str]
    default: bool


@router.get("", summary="List agents")
async def list_agents(server: ServerDep) -> list[AgentView]:
    """The agents that are ready, the default one marked."""
    return [
        AgentView(
            name=name,
            title=runtime.definition.title,
            description=runtime.definition.description,
            language=runtime.definition.language,
            services=runtime.service_names,
            default=name == server.manager.default_agent,
        )
        for name, runtime in sorted(server.manager.runtimes.items())
    ]


@router.get("/{name}", summary="One agent", responses=NOT_FOUND)
async def read_agent(
    server: ServerDep, name: Annotated[str, Path(max_length=64)]
) -> AgentDefinition:
    """The definition as its file gives it."""
    return server.manager.runtime(name).definition
