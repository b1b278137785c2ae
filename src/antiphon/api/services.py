"""`/api/v1/services`: the service catalogue."""

from functools import cache

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from antiphon.api.auth import require_key
from antiphon.api.deps import ServerDep
from antiphon.api.models import UNAUTHORIZED
from antiphon.errors import ConfigurationError
from antiphon.services.catalog import CATALOG, ServiceSpec

router = APIRouter(
    prefix="/api/v1/services",
    tags=["services"],
    dependencies=[Depends(require_key)],
    responses=UNAUTHORIZED,
)


class ServiceView(BaseModel):
    """One service of the catalogue."""

    kind: str
    name: str
    title: str
    extra: str = Field(
        description="`pip install 'antiphon[extra]'`; empty: nothing more to install."
    )
    installed: bool
    needs: list[str] = Field(description="Settings without which it cannot work.")
    configured: bool = Field(description="Whether all it needs is set.")
    settings: list[str]


@cache
def _installed(spec: ServiceSpec) -> bool:
    try:
        spec.load()
    except ConfigurationError:
        return False
    return True


@router.get("", summary="List services")
def list_services(server: ServerDep) -> list[ServiceView]:
    """Every service an agent can name, and whether it is ready to use."""
    # Not a coroutine, so that vendors' packages are imported in a thread, away from the audio.
    return [
        ServiceView(
            kind=spec.kind,
            name=spec.name,
            title=spec.title,
            extra=spec.extra,
            installed=_installed(spec),
            needs=list(spec.needs),
            configured=all(getattr(server.settings, need) for need in spec.needs),
            settings=list(spec.settings),
        )
        for spec in CATALOG
    ]
