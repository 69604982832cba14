"""What AWS refuses, in words that say what to do: the same for boto3, pyarrow and Spark, whichever of them asked."""

from __future__ import annotations

import re
import sys

_CREDENTIALS = "renew or correct the AWS credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and its companions)"
_RIGHTS = "let these credentials do that there, or use others"
_REGION = "set AWS_REGION to the bucket's region"
_GONE = "has it been deleted meanwhile?"
_BUSY = "it is busy: run again later"
_NETWORK = "see to the network, AWS_REGION and AWS_ENDPOINT_URL, then run again"

# By AWS's names in lower case, without the "_" of pyarrow's and the "Exception" of Glue's; and by HTTP status, for
# answers to HEAD, which have no body to tell more.
_REMEDIES = {
    "nosuchbucket": "create the bucket, or correct its name",
    "entitynotfound": "correct the name, or create it",
    "resourcenotfound": "correct the name, or create it",
    "nosuchkey": _GONE,
    "404": f"{_GONE} does the bucket exist?",
    "preconditionfailed": "it was replaced meanwhile: run again",
    "accessdenied": _RIGHTS,
    "403": _RIGHTS,
    "expiredtoken": _CREDENTIALS,
    "requestexpired": _CREDENTIALS,
    "invalidaccesskeyid": _CREDENTIALS,
    "invalidclienttokenid": _CREDENTIALS,
    "unrecognizedclient": _CREDENTIALS,
    "invalidtoken": _CREDENTIALS,
    "signaturedoesnotmatch": _CREDENTIALS,
    "invalidsignature": _CREDENTIALS,
    "requesttimetooskewed": "set this machine's clock",
    "permanentredirect": _REGION,
    "301": _REGION,
    "authorizationheadermalformed": _REGION,
    "400": f"{_REGION}, or {_CREDENTIALS}",
    "slowdown": _BUSY,
    "throttling": _BUSY,
    "toomanyrequests": _BUSY,
    "serviceunavailable": _BUSY,
    "internalerror": _BUSY,
    "internalservice": _BUSY,
    "500": _BUSY,
    "503": _BUSY,
    "nosuchupload": "somebody aborted the upload: run again",
    "networkconnection": _NETWORK,
}
# Of pyarrow (AWS SDK for C++) and of the AWS SDK for Java, as Spark repeats it.
_PYARROW = re.compile(
    r"in bucket '(?P<bucket>[^']*)': AWS Error (?P<code>\w+)(?: \(HTTP status (?P<status>\d+)\))? during "
    r"(?P<operation>\w+) operation: (?P<message>[^\n]*?)(?: Detail: Python exception: |$)",
    re.MULTILINE,
)
_UNPARSED = re.compile(r"Unable to parse ExceptionName: (?P<code>\w+) Message: (?P<message>.*)")
_JAVA = re.compile(
    r"software\.amazon\.awssdk\.[\w.]*\.(?P<code>\w+)Exception: (?P<message>.*?) "
    r"\(Service: (?P<service>\w+), Status Code: (?P<status>\d+)"
)
_JAVA_UNASKED = re.compile(r"software\.amazon\.awssdk\.[\w.]*\.SdkClientException: (?P<message>[^\n]*)")
# Where the exception in Java is the whole service's, its message has to tell.
_BY_MESSAGE = (("rate exceeded", "throttling"), ("token has expired", "expiredtoken"), ("is expired", "expiredtoken"))


def refusal(error: BaseException) -> str | None:
    """A sentence on what AWS refused and what to do, or on why it could not be asked; None for any other error."""
    told = _told(error)
    return None if told is None else _masked(told)


def _told(error: BaseException) -> str | None:
    if reason := boto_reason(error):
        operation = getattr(error, "operation_name", None)  # of a ClientError
        return f"AWS refused {operation}: {reason}" if operation else f"AWS cannot be asked: {reason}"
    text = str(error)
    if told := _PYARROW.search(text):
        code, message = told["code"], told["message"]
        if hidden := _UNPARSED.search(message):
            code, message = hidden["code"], hidden["message"]
        where = f"{told['operation']} in s3://{told['bucket']}"
        return f"AWS refused {where}: {_explained(message, told['status'] if code == 'UNKNOWN' else code)}"
    if told := _JAVA.search(text):
        return f"AWS refused what Spark asked of {told['service']}: {_explained(told['message'], _java_code(told))}"
    if told := _JAVA_UNASKED.search(text):
        return f"AWS cannot be asked by Spark: {told['message']}; see to the network and the AWS credentials"
    return None


def _java_code(told: re.Match[str]) -> str:
    """AWS's name of a refusal, or the HTTP status where nothing tells it."""
    if told["code"] != told["service"]:
        return told["code"]
    named = (code for words, code in _BY_MESSAGE if words in told["message"].lower())
    return next(named, told["status"] if told["service"] == "S3" else told["code"])


def boto_reason(error: BaseException) -> str | None:
    """What an error of boto3 says, and what to do; None for any other error."""
    if not (exceptions := sys.modules.get("botocore.exceptions")):
        return None
    if isinstance(error, exceptions.ClientError):
        told = error.response["Error"]
        return _explained(told.get("Message") or "refused", told.get("Code", ""))
    if isinstance(
        error,
        (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.ProfileNotFound,
            exceptions.SSOError,
            exceptions.TokenRetrievalError,
        ),
    ):
        return f"{error}; {_CREDENTIALS}"
    if isinstance(error, (exceptions.NoRegionError, exceptions.InvalidRegionError)):
        return f"{error}; set AWS_REGION"
    if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError, exceptions.IncompleteReadError)):
        return _masked(f"{error}; {_NETWORK}")
    if isinstance(error, exceptions.BotoCoreError):
        return f"{error}; see to the AWS settings, then run again"
    return None


def _explained(message: str, code: str) -> str:
    remedy = _REMEDIES.get(code.replace("_", "").lower().removesuffix("exception"))
    return f"{' '.join(message.split())} ({code})" + (f"; {remedy}" if remedy else "")


def _masked(text: str) -> str:
    """The text without what a URL says of user and password."""
    return re.sub(r"//[^/\s]*@", "//***@", text)
