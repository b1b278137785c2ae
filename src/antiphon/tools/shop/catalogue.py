"""The seed catalogue: which products a new shop database starts with."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from antiphon.errors import ConfigurationError

SpokenName = Annotated[str, Field(pattern=r"^[a-z][a-z' ]*[a-z]$", max_length=60)]
"""Plain lower-case words: what callers say and the agent speaks."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Product(_Strict):
    """A product for sale."""

    sku: Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{1,30}$")]
    name: SpokenName
    plural: SpokenName
    aliases: list[SpokenName] = Field(default_factory=list)
    category: SpokenName
    price_cents: int = Field(ge=0, le=10_000_000)
    stock: int = Field(ge=0, le=1_000_000)
    description: str = Field("", max_length=500)

    def spoken(self) -> list[str]:
        """Every way to say the product."""
        return [self.name, self.plural, *self.aliases]


class Family(_Strict):
    """A word for several products, such as "mug"."""

    name: SpokenName
    plural: SpokenName


class Catalogue(_Strict):
    """All products of a new shop."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    families: list[Family] = Field(default_factory=list)
    products: list[Product] = Field(min_length=1)

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        names = [name for product in self.products for name in set(product.spoken())]
        names += [name for family in self.families for name in {family.name, family.plural}]
        twice = [name for name, n in Counter(names).items() if n > 1]
        twice += [s for s, n in Counter(p.sku for p in self.products).items() if n > 1]
        if twice:
            raise ValueError(f"these names or SKUs are used more than once: {', '.join(twice)}")
        return self


def load_catalogue(path: Path) -> Catalogue:
    """Read and check a catalogue file.

    Raises:
        ConfigurationError: The file cannot be used; every problem found is listed.
    """
    try:
        return Catalogue.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as exc:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in exc.errors()]
        raise ConfigurationError(problems, source=path.name) from exc
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigurationError([f"cannot be read: {exc}"], source=path.name) from exc
