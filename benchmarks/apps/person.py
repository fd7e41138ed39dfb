"""The form of the benchmark as a pydantic model, for the contenders that check with pydantic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Person(BaseModel):
    """Ten fields; `comment` may be missing."""

    name: Annotated[str, Field(min_length=3, max_length=64)]
    # PERF: pydantic's EmailStr asks the package email-validator; a pattern is checked in Rust.
    email: Annotated[str, Field(pattern=r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$")]
    age: Annotated[int, Field(ge=18, le=130)]
    gender: Literal["male", "female", "other"]
    birth_year: Annotated[int, Field(ge=1900, le=2030)]
    newsletter: bool
    score: float
    city: str
    zip: Annotated[str, Field(pattern=r"^[0-9]{5}$")]
    comment: str | None = None
