"""TLS to the provider: verified chain and name, kept connections; plain HTTP only where nobody can listen."""

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.edge_table import ANSWER, BODY, WHOLE
from tests.e2e.rig import Exchange, Rig, RigOptions, raw_call
from tokenroll.gateway.answers import OPENAI
from tokenroll.gateway.deployment import Deployment, DeploymentError, Target

CALL = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer tr-ada\r\nx-case: a\r\nConnection: close\r\n"
    b"Content-Length: 74\r\n\r\n" + BODY
)


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A self-made authority that signs itself for `name`, as file and as server."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name[0].isdigit():
        names = [x509.IPAddress(ipaddress.ip_address(name))]
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(7).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return file, server


def play(folder: Path, ca_file: Path | None, server: ssl.SSLContext) -> tuple[bytes, list[str], int]:
    with Rig(folder, RigOptions(ca_file=ca_file, provider_tls=server)) as one:
        one.provider.scripts[b"a"] = [Exchange([WHOLE[:40], WHOLE[40:]])]
        one.call(raw_call(one.port, [CALL]))
        data = one.call(raw_call(one.port, [CALL]))
        return data, [end.end for end in one.ended()[1]], one.provider.connections


def test_a_provider_with_the_right_name_and_authority_is_called_over_one_kept_connection(tmp_path):
    file, server = certificate(tmp_path, "localhost")
    data, ends, connections = play(tmp_path, file, server)
    assert data.endswith(ANSWER)
    assert ends == ["settled", "settled"]
    assert connections == 1


@pytest.mark.parametrize("name", ["provider.example", "127.0.0.1"])
def test_a_provider_with_another_name_is_sent_nothing(tmp_path, name):
    file, server = certificate(tmp_path, name)
    data, ends, _ = play(tmp_path, file, server)
    assert data.startswith(b"HTTP/1.1 502 Bad Gateway")
    assert ends == ["released: not sent"] * 2


def test_a_provider_of_an_unknown_authority_is_sent_nothing(tmp_path):
    _, server = certificate(tmp_path, "localhost")
    data, ends, _ = play(tmp_path, None, server)
    assert data.startswith(b"HTTP/1.1 502 Bad Gateway")
    assert ends == ["released: not sent"] * 2


@pytest.mark.parametrize(
    "base_url",
    [
        "http://provider.example/v1",
        "http://10.0.0.7:8080",
        "ftp://provider.example",
        "https://me@provider.example",
        "https://",
    ],
)
def test_the_companys_key_is_never_sent_unprotected(base_url):
    with pytest.raises(DeploymentError):
        Target(Deployment(name="one", dialect="openai", base_url=base_url, api_key="sk"), (OPENAI,))


@pytest.mark.parametrize(
    ("base_url", "path", "host"),
    [
        ("https://api.provider.example/v1", b"/v1/chat/completions", b"host: api.provider.example\r\n"),
        ("https://api.provider.example", b"/v1/chat/completions", b"host: api.provider.example\r\n"),
        (
            "https://api.provider.example:8443/tenant/v1/",
            b"/tenant/v1/chat/completions",
            b"host: api.provider.example:8443\r\n",
        ),
        ("http://[::1]:9000", b"/v1/chat/completions", b"host: [::1]:9000\r\n"),
    ],
)
def test_base_urls_are_written_with_and_without_the_version(base_url, path, host):
    target = Target(Deployment(name="one", dialect="openai", base_url=base_url, api_key="sk"), (OPENAI,))
    assert target.path(OPENAI, "gpt-4o", stream=True) == path
    assert host in target.preamble
