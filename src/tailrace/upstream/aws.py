"""Requests signed as AWS wants them (Signature Version 4), by botocore: the extra `tailrace[bedrock]`.

Whose signature it is, botocore finds out: keys in the environment, web identity, a profile (SSO, `credential_process`,
an assumed role), the container's role, the machine's. It keeps what it found and renews it before it lapses. That, and
its import, may wait: `signed` is called in a thread. The algorithm:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from tailrace.schema.errors import ProviderError

SERVICE = "bedrock"
_REGION = re.compile(r"//bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_ADVICE = "set AWS_BEARER_TOKEN_BEDROCK, or have credentials where AWS's own tools find them"


def region_of(url: str, environ: Mapping[str, str]) -> str:
    """The region that a request goes to: its host says it, or else the environment."""
    named = _REGION.search(url)
    if named is not None:
        return named[1]
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def signed(url: str, body: bytes, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers that sign a POST of `body` to `url`, whose path is percent-encoded. They hold for five minutes.

    Raises ProviderError (authentication) where botocore is not installed, or finds no credentials.
    """
    try:
        from botocore.auth import SigV4Auth  # an extra, and slow to import
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        advice = f"AWS signatures need botocore: pip install 'tailrace[bedrock]'; or {_ADVICE}"
        raise ProviderError("authentication", advice) from error
    try:
        credentials = _credentials(environ).get_frozen_credentials()
    except (BotoCoreError, OSError, ValueError) as error:  # whose words may say what is secret
        raise ProviderError("authentication", f"no AWS credentials ({type(error).__name__}): {_ADVICE}") from None
    request = AWSRequest(method="POST", url=url, data=body)
    SigV4Auth(credentials, SERVICE, region_of(url, environ)).add_auth(request)
    return dict(request.headers.items())


def forget(environ: Mapping[str, str]) -> bool:
    """The credentials were refused: what botocore found is looked for anew, unless they stood in the environment
    itself, where there are no others."""
    _found.cache_clear()
    return not environ.get("AWS_ACCESS_KEY_ID")


def _credentials(environ: Mapping[str, str]) -> Any:
    """Those of the environment that was given, or else what botocore finds in the process's own and around it."""
    from botocore.credentials import EnvProvider

    return EnvProvider(environ=environ).load() or _found()


@cache
def _found() -> Any:
    """What botocore's own chain finds; it is asked again after it has found nothing."""
    from botocore.exceptions import NoCredentialsError
    from botocore.session import Session

    credentials = Session().get_credentials()
    if credentials is None:
        raise NoCredentialsError
    return credentials
