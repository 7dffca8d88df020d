"""Verifies tokens as their providers do, without a line of ours: JSON on standard input, what they hold on output."""

import base64
import hashlib
import hmac
import json
import struct
import sys
import zlib

import jwt


def signed(job):
    """A JWT, its signature and its times checked by PyJWT, by its own clock."""
    header = jwt.get_unverified_header(job["token"])
    assert header["alg"] in ("HS256", "HS384", "HS512", "RS256", "ES256"), header
    # A public key is none for HMAC: PyJWT refuses it.
    claims = jwt.decode(
        job["token"], job["key"], algorithms=[header["alg"]], options={"require": ["exp"]}
    )
    assert claims.get("nbf", claims.get("iat", 0)) <= job["now"] < claims["exp"], claims
    return {"header": header, "claims": claims}


class Reader:
    """Agora's packing: little-endian numbers, texts with their length."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def bytes(self):
        length = self.number("<H")
        self.at += length
        return self.data[self.at - length : self.at]


def agora(job):
    """An AccessToken2: inflated, its signature computed again, its services taken apart."""
    assert job["token"].startswith("007")
    data = zlib.decompressobj().decompress(base64.b64decode(job["token"][3:], validate=True), 4096)
    reader = Reader(data)
    signature = reader.bytes()
    info = data[reader.at :]
    app = reader.bytes().decode()
    issued, expire, salt = (reader.number("<I") for _ in range(3))
    key = hmac.digest(struct.pack("<I", issued), job["key"].encode(), hashlib.sha256)
    key = hmac.digest(struct.pack("<I", salt), key, hashlib.sha256)
    assert hmac.compare_digest(hmac.digest(key, info, hashlib.sha256), signature), "signature"
    services = {}
    for _ in range(reader.number("<H")):
        kind = reader.number("<H")
        privileges = {}
        for _ in range(reader.number("<H")):
            privilege = reader.number("<H")
            privileges[privilege] = reader.number("<I")
        texts = [reader.bytes().decode() for _ in range({1: 2, 2: 1}[kind])]
        services[kind] = {"privileges": privileges, "texts": texts}
    assert reader.at == len(data), "nothing is left over"
    assert 1 <= salt <= 99999999, salt
    return {"app": app, "issued": issued, "expire": expire, "services": services}


def coturn(job):
    """A coturn's list of ICE servers: the password is the username's HMAC-SHA1."""
    (server,) = [it for it in json.loads(job["token"]) if "credential" in it]
    password = hmac.digest(job["key"].encode(), server["username"].encode(), hashlib.sha1)
    assert base64.b64encode(password).decode() == server["credential"], "password"
    assert int(server["username"].split(":")[0]) > job["now"]
    return server


CHECKS = {"jwt": signed, "agora": agora, "coturn": coturn}
json.dump([CHECKS[job["check"]](job) for job in json.load(sys.stdin)], sys.stdout)
