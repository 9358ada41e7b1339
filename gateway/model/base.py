"""What every configured object shares: strict fields, names, tags."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Seconds = Annotated[float, Field(ge=0, le=86400 * 366)]
#: A secret, or where to find it: ``$env:NAME`` or ``$file:PATH``. Never shown again once saved.
Secret = Annotated[str, Field(min_length=1, json_schema_extra={"x-secret": True})]


class Settings(BaseModel):
    """A part of the configuration: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Named(Settings):
    """A part of the configuration with a name, unique among its kind."""

    name: Name = Field(description="Unique among objects of this kind; other objects, logs and metrics refer to it")
    tags: tuple[str, ...] = Field((), description="Words to filter by")
    note: str = Field("", max_length=4000, description="Free text for whoever reads this next")


class Referring(Settings):
    """A part of the configuration that may name files whose content matters as much as their names."""

    #: set by the compile step: differs when a file does, so that a rotated key makes another object; never written by people
    seen: SkipJsonSchema[str] = Field("", repr=False)
