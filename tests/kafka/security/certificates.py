"""Authorities and certificates of one test run, made with openssl."""

import pathlib
import subprocess

DAYS = "2"
SECONDS_MAX = 30


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS_MAX)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name = pathlib.Path(folder), name
        self.key, self.certificate = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", DAYS, "-subj",
                f"/CN={name}", "-keyout", str(self.key), "-out", str(self.certificate))

    def issue(self, name, alternative_names=None, password=None):
        """Files of key (PKCS#8) and certificate."""
        key, request, certificate = (self.folder / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative_names}\n" if alternative_names else "basicConstraints=CA:FALSE\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}", "-keyout", str(key),
                "-out", str(request), *(("-passout", f"pass:{password}") if password else ("-nodes",)))
        openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial",
                "-days", DAYS, "-extfile", str(extensions), "-out", str(certificate))
        return key, certificate

    def issue_store(self, name, alternative_names):
        """One file of key, certificate and authority, as Kafka's nodes read it."""
        key, certificate = self.issue(name, alternative_names)
        store = self.folder / f"{name}.pem"
        store.write_text(key.read_text() + certificate.read_text() + self.certificate.read_text())
        return store
