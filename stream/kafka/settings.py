"""How to reach a Kafka cluster: address, encryption, credentials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ADVICE = {
    "NoBrokersAvailable": "is the broker running, and is this its address?",
    "KafkaTimeoutError": "is the broker running, and is this its address and its protocol?",
    "SaslAuthenticationFailedError": "check user name, password and mechanism",
    "SSLError": "check the certificates",
    "FileNotFoundError": "check the certificates' files",
    "UnknownTopicOrPartitionError": "run `subtext topics create`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a connection needs."""

    #: host:port, several with commas.
    bootstrap: str
    #: Speak TLS; implied by any of the three files.
    tls: bool = False
    #: PEM file of who signed the broker's certificate; else the system's authorities count.
    ca_file: Path | None = None
    #: PEM files of our own certificate and its key, for mTLS.
    cert_file: Path | None = None
    key_file: Path | None = None
    #: SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN; empty for none.
    sasl_mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    #: Larger messages are neither sent nor fetched in full.
    max_message_bytes: int = 8 * 1024 * 1024
    #: A worker that is not heard of for so long loses its partitions.
    session_seconds: float = 45.0
    #: How long sending is tried before it counts as failed.
    delivery_seconds: float = 30.0
    compress: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.sasl_mechanism not in ("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            raise ValueError("SASL: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN")
        if self.username and not self.sasl_mechanism:
            raise ValueError("a user name needs a SASL mechanism, such as SCRAM-SHA-512")
        if self.sasl_mechanism and not (self.username and self.password):
            raise ValueError("SASL needs a user name and a password")
        if self.sasl_mechanism == "PLAIN" and "SSL" not in self.protocol:
            raise ValueError("PLAIN sends the password as it is: use TLS, or SCRAM-SHA-512")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("a certificate needs its key, and a key its certificate")

    @classmethod
    def from_environment(cls, bootstrap: str, environment: Mapping[str, str]) -> "Settings":
        """What the SUBTEXT_KAFKA_* variables say, where no option of a command does."""

        def path(name: str) -> Path | None:
            return Path(found) if (found := environment.get(f"SUBTEXT_KAFKA_{name}")) else None

        return cls(
            bootstrap=bootstrap,
            tls=environment.get("SUBTEXT_KAFKA_TLS", "").lower() in ("1", "true", "yes", "on"),
            ca_file=path("CA"),
            cert_file=path("CERT"),
            key_file=path("CERT_KEY"),
            sasl_mechanism=environment.get("SUBTEXT_KAFKA_SASL", ""),
            username=environment.get("SUBTEXT_KAFKA_USER", ""),
            password=environment.get("SUBTEXT_KAFKA_PASSWORD", ""),
        )

    @property
    def protocol(self) -> str:
        """Kafka's name for what is spoken."""
        secure = self.tls or self.ca_file or self.cert_file
        return ("SASL_" if self.sasl_mechanism else "") + ("SSL" if secure else "PLAINTEXT")

    def connection(self) -> dict[str, Any]:
        """What every client of kafka-python is given."""
        given = {
            "bootstrap_servers": self.bootstrap.split(","),
            "client_id": "subtext",
            "security_protocol": self.protocol,
            "reconnect_backoff_max_ms": 2000,
            "bootstrap_timeout_ms": round(self.delivery_seconds * 1000),
            **{
                name: str(path)
                for name, path in (
                    ("ssl_cafile", self.ca_file),
                    ("ssl_certfile", self.cert_file),
                    ("ssl_keyfile", self.key_file),
                )
                if path is not None
            },
        }
        if self.sasl_mechanism:
            given |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return given

    def advice(self, error: str) -> str:
        """What to check after an error of this name."""
        return _ADVICE.get(error, "see the broker's log")
