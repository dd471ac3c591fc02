"""Environment of whoever checks credentials; part of every service's settings."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.auth.issuer import LOCAL
from shared.auth.tokens import Claims


class AccessSettings(BaseSettings):
    """Where keys and key sets are, and whose tokens are believed."""

    model_config = SettingsConfigDict(extra="ignore")

    auth_dir: Path = Field(
        default=Path("var/secrets/auth"),
        description="Directory of credentials.json and jwks.json; changes are taken up within a second.",
    )
    auth_jwks_url: str | None = Field(
        default=None, description="The issuer's key set; unset: jwks.json in AUTH_DIR."
    )
    auth_issuer: str = Field(default=LOCAL.issuer, description="The tokens' iss that is believed.")
    auth_audience: str = Field(default=LOCAL.audience, description="Must be in the tokens' aud.")
    auth_role_claim: str = Field(default=LOCAL.role, description="Claim with a role or a list of roles.")
    auth_region_claim: str = Field(
        default=LOCAL.region, description="Claim with a division's code or a unit."
    )
    auth_subject_claim: str = Field(default=LOCAL.subject, description="Claim with the account or post.")

    @property
    def claims(self) -> Claims:
        """Where tokens say what."""
        return Claims(
            self.auth_issuer,
            self.auth_audience,
            self.auth_role_claim,
            self.auth_region_claim,
            self.auth_subject_claim,
        )
