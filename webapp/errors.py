"""Every error that can reach a reader, as one tree.

    RillError
    |-- NotFound                      404
    |   |-- ConversationNotFound
    |   |-- MessageNotFound
    |   |-- AssistantNotFound
    |   `-- AttachmentNotFound
    |-- MethodNotAllowed              405
    |-- PromptRefused                 422
    |   |-- PromptEmpty
    |   `-- PromptTooLong             413
    |-- TitleRefused                  422
    |-- SetupRefused                  422
    |-- AttachmentRefused             422
    |-- ModelNotOffered               422
    |-- TurnRunning                   409
    |-- TurnNotRunning                409
    |-- NothingToRetry                409
    |-- NothingToEdit                 409
    |-- ServerEnding                  503
    |-- BadRequest                    400
    |-- BodyTooLarge                  413
    |-- ImageUnavailable              502
    |-- AttachmentsUnread             503
    |-- StoreUnavailable              503
    |-- ProviderError                 502
    |   |-- KeyRejected, ModelUnknown, TooManyRequests, PromptTooLongForModel, RequestRefused, ImagesRefused
    |   |-- EndpointFailed, EndpointUnreachable, EndpointSilent, NotAChatEndpoint, TurnTooLong
    |   `-- EmptyReply, BrokenReply, ModelNotReady, FunctionFailed
    `-- SettingsInvalid               (at start-up only)

Each class carries its HTTP status and a sentence for the reader. What the operator needs besides is `detail`, which
goes to the log and never to a page.
"""

from __future__ import annotations

from typing import ClassVar


class RillError(Exception):
    """Something that the reader is told in one sentence; `detail` is for the operator's log only."""

    status: ClassVar[int] = 500
    cause: ClassVar[str] = "error"
    sentence: str = "Something went wrong here. Please try again."

    def __init__(self, sentence: str | None = None, *, detail: str = "") -> None:
        if sentence is not None:
            self.sentence = sentence
        self.detail = detail
        super().__init__(detail or self.sentence)


class NotFound(RillError):
    status = 404
    cause = "not_found"
    sentence = "There is nothing at this address."


class ConversationNotFound(NotFound):
    """No such conversation, or another reader's: the two look alike on purpose."""

    cause = "conversation_not_found"
    sentence = "There is no such conversation in this browser."


class MessageNotFound(NotFound):
    cause = "message_not_found"
    sentence = "There is no such message in this conversation."


class AssistantNotFound(NotFound):
    """No such assistant, or another reader's."""

    cause = "assistant_not_found"
    sentence = "There is no such assistant here."


class AttachmentNotFound(NotFound):
    """No such attachment, or another reader's, or one that was deleted meanwhile."""

    cause = "attachment_not_found"
    sentence = "An attachment is no longer there. Attach it again."


class MethodNotAllowed(RillError):
    status = 405
    cause = "method_not_allowed"
    sentence = "This address does not take requests of this kind."


class PromptRefused(RillError):
    status = 422
    cause = "prompt_refused"


class PromptEmpty(PromptRefused):
    cause = "prompt_empty"
    sentence = "The message is empty. Write something first."


class PromptTooLong(PromptRefused):
    status = 413
    cause = "prompt_too_long"

    def __init__(self, length_chars: int, limit_chars: int) -> None:
        super().__init__(
            f"The message has {length_chars:,} characters; at most {limit_chars:,} can be sent. "
            "Shorten it or send it in parts."
        )


class TitleRefused(RillError):
    status = 422
    cause = "title_refused"


class SetupRefused(RillError):
    """A system prompt, a parameter or an assistant that cannot be used; the sentence says why."""

    status = 422
    cause = "setup_refused"


class AttachmentRefused(RillError):
    """A file that cannot be attached; the sentence says why."""

    status = 422
    cause = "attachment_refused"


class ModelNotOffered(RillError):
    status = 422
    cause = "model_not_offered"
    sentence = "This model cannot be chosen here. Choose another one and send the message again."


class TurnRunning(RillError):
    status = 409
    cause = "turn_running"
    sentence = "A reply is still being written. Wait for it, or stop it first."


class TurnNotRunning(RillError):
    """A Stop that came after the end; routes treat it as success."""

    status = 409
    cause = "turn_not_running"
    sentence = "This reply has already ended."


class NothingToRetry(RillError):
    status = 409
    cause = "nothing_to_retry"
    sentence = "This reply cannot be tried again here. Reload the page to see how the conversation stands."


class NothingToEdit(RillError):
    status = 409
    cause = "nothing_to_edit"
    sentence = "The message that this was to replace is not there. Reload the page to see how the conversation stands."


class ServerEnding(RillError):
    status = 503
    cause = "server_ending"
    sentence = "The server is being restarted. Your message is still here; send it again in a moment."


class BadRequest(RillError):
    status = 400
    cause = "bad_request"
    sentence = "This request could not be understood."


class BodyTooLarge(RillError):
    status = 413
    cause = "body_too_large"
    sentence = "The message is far too long to be sent. Shorten it or send it in parts."


class ImageUnavailable(RillError):
    status = 502
    cause = "image_unavailable"
    sentence = "This image cannot be had."


class AttachmentsUnread(RillError):
    """A turn began, and then the database failed; the prompt is kept, and can be tried again."""

    status = 503
    cause = "attachments_unread"
    sentence = "What was attached could not be read, so nothing was sent to the model. Try again."


class StoreUnavailable(RillError):
    status = 503
    cause = "store_unavailable"
    sentence = "The message could not be saved, so nothing was sent to the model. Please try again."


class ProviderError(RillError):
    """The model could not answer, or not to the end.

    `retry_after_seconds` is how long it wants to be left alone, if it said so.
    """

    status = 502
    cause = "provider_error"
    sentence = "The model could not answer."
    retry_after_seconds: float | None = None


class KeyRejected(ProviderError):
    cause = "key_rejected"
    sentence = "The model service rejected this server's key. Whoever runs this server has to check it."


class ModelUnknown(ProviderError):
    cause = "model_unknown"
    sentence = "The model service does not know the model set here. Whoever runs this server has to choose another."


class TooManyRequests(ProviderError):
    cause = "too_many_requests"
    sentence = "The model service is busy or its quota is used up. Wait a moment, then try again."


class PromptTooLongForModel(ProviderError):
    cause = "too_long_for_model"
    sentence = "The conversation has become too long for this model. Start a new one, or shorten the message."


class RequestRefused(ProviderError):
    cause = "request_refused"
    sentence = "The model service refused this request."


class ImagesRefused(RequestRefused):
    """A request with images in it; most services say in no certain way that it is for these."""

    cause = "images_refused"
    sentence = (
        "The model service refused this request. If this model sees no images, choose another one, or delete the "
        "message that has them."
    )


class EndpointFailed(ProviderError):
    cause = "endpoint_failed"
    sentence = "The model service had an error of its own. Try again."


class EndpointUnreachable(ProviderError):
    cause = "endpoint_unreachable"
    sentence = "The model service cannot be reached. Try again in a moment."


class EndpointSilent(ProviderError):
    cause = "endpoint_silent"
    sentence = "The model service stopped answering. Try again."


class TurnTooLong(ProviderError):
    cause = "turn_too_long"
    sentence = "The model took longer over this reply than is allowed here, so it was ended."


class NotAChatEndpoint(ProviderError):
    cause = "not_a_chat_endpoint"
    sentence = "What answered at the model's address is no model service. Whoever runs this server has to check it."


class EmptyReply(ProviderError):
    cause = "empty_reply"
    sentence = "The model answered with nothing. Try again."


class BrokenReply(ProviderError):
    """The stream ended before the model said that it was done."""

    cause = "broken_reply"
    sentence = "The connection to the model broke before the reply was whole. Try again."


class ModelNotReady(ProviderError):
    status = 503
    cause = "model_not_ready"
    sentence = "No model is ready to answer."


class FunctionFailed(ProviderError):
    cause = "function_failed"
    sentence = "The reply function of this app failed. Try again; its log says why."


class SettingsInvalid(RillError):
    cause = "settings_invalid"


_INTERRUPTED = "The server stopped while this was being written. What was written is kept."
_SENTENCES_WITHOUT_ERROR = {
    "length": "The reply was cut at the model's length limit.",
    "content_filter": "The model's content filter ended this reply.",
    "too_large": "The reply grew beyond what is kept here, so it was ended.",
    "interrupted": _INTERRUPTED,
    "not_saved": "This reply could not be saved yet. It is tried again and again; copy it if you need it for sure.",
    "internal": "Something went wrong here while this was being written. Try again.",
}


def _subclasses(cls: type[RillError]) -> list[type[RillError]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _subclasses(sub))]


def sentence(cause: str) -> str:
    """Say in the reader's words what `Message.cause` names; a cause of a newer version gets a general sentence."""
    by_cause = {cls.cause: cls.sentence for cls in _subclasses(RillError)}
    return _SENTENCES_WITHOUT_ERROR.get(cause) or by_cause.get(cause, RillError.sentence)
