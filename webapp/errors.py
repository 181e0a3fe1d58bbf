"""Every error that can reach a reader, as one tree.

    RillError
    |-- NotFound                      404
    |   |-- ConversationNotFound
    |   |-- MessageNotFound
    |   |-- AssistantNotFound
    |   |-- AttachmentNotFound
    |   |-- ShareNotFound
    |   `-- EmbedNotFound
    |-- NotSignedIn                   401
    |-- VisitEnded                    403
    |-- VisitorRefused                403
    |-- QuotaReached                  429
    |-- MethodNotAllowed              405
    |-- ProgramKeyUnknown             401
    |-- ProgramKeyReadsOnly           403
    |-- PromptRefused                 422
    |   |-- PromptEmpty
    |   `-- PromptTooLong             413
    |-- TitleRefused                  422
    |-- SetupRefused                  422
    |-- AttachmentRefused             422
    |   `-- AttachmentsBusy           503
    |-- ImportRefused                 422
    |-- ModelNotOffered               422
    |-- TurnRunning                   409
    |-- TurnNotRunning                409
    |-- NothingToRetry                409
    |-- NothingToEdit                 409
    |-- ServerEnding                  503
    |-- BadRequest                    400
    |-- BodyTooLarge                  413
    |-- HeadTooLarge                  431
    |-- HostNotAllowed                400
    |-- OriginNotAllowed              403
    |-- ImageUnavailable              502
    |-- AttachmentsUnread             503
    |-- StoreUnavailable              503
    |-- ProviderError                 502
    |   |-- KeyRejected, ModelUnknown, TooManyRequests, PromptTooLongForModel, RequestRefused, ImagesRefused
    |   |-- EndpointFailed, EndpointUnreachable, EndpointSilent, NotAChatEndpoint, TurnTooLong
    |   `-- EmptyReply, BrokenReply, ModelNotReady, FunctionFailed
    `-- SettingsInvalid               (at start-up only)

Each class carries its HTTP status and a sentence for the reader, who gets it in their language. What the operator needs
besides is `detail`, which goes to the log and never to a page.
"""

from __future__ import annotations

from typing import ClassVar

from webapp.languages import N_, ngettext, number
from webapp.languages import gettext as _
from webapp.wire import Failure


class RillError(Exception):
    """Something that the reader is told in one sentence; `detail` is for the operator's log only."""

    status: ClassVar[int] = 500
    cause: ClassVar[str] = "error"
    sentence: str = N_("Something went wrong here. Please try again.")

    def __init__(self, sentence: str | None = None, *, detail: str = "") -> None:
        self.sentence = _(type(self).sentence) if sentence is None else sentence
        self.detail = detail
        super().__init__(detail or self.sentence)

    def as_json(self) -> Failure:
        """Say it as programs are told."""
        return {"type": "error", "cause": self.cause, "message": self.sentence}


class NotFound(RillError):
    status = 404
    cause = "not_found"
    sentence = N_("There is nothing at this address.")


class ConversationNotFound(NotFound):
    """No such conversation, or another reader's: the two look alike on purpose."""

    cause = "conversation_not_found"
    sentence = N_("There is no such conversation in this browser.")


class MessageNotFound(NotFound):
    cause = "message_not_found"
    sentence = N_("There is no such message in this conversation.")


class AssistantNotFound(NotFound):
    """No such assistant, or another reader's."""

    cause = "assistant_not_found"
    sentence = N_("There is no such assistant here.")


class AttachmentNotFound(NotFound):
    """No such attachment, or another reader's, or one that was deleted meanwhile."""

    cause = "attachment_not_found"
    sentence = N_("An attachment is no longer there. Attach it again.")


class ShareNotFound(NotFound):
    """No such link, or one that was taken back, or whose conversation is gone: all look alike."""

    cause = "share_not_found"
    sentence = N_("This link leads nowhere any more. Whoever shared the conversation can make a new one.")


class EmbedNotFound(NotFound):
    """No such embed, or one that rests, or a token that nobody made here."""

    cause = "embed_not_found"
    sentence = N_("There is no chat here at the moment.")


class NotSignedIn(RillError):
    """The app around this one does not know who asks."""

    status = 401
    cause = "not_signed_in"
    sentence = N_("Sign in first, and come back then.")


class VisitEnded(RillError):
    """The token in the addresses of an embedded page is no longer good."""

    status = 403
    cause = "visit_ended"
    sentence = N_("This chat has ended.")


class VisitorRefused(RillError):
    """What another site says of its visitor cannot be believed; the detail tells its operator why."""

    status = 403
    cause = "visitor_refused"
    sentence = N_("This page could not say who you are. Reload it, and try again.")


class QuotaReached(RillError):
    """An operator's limit for an embed; the reader is told when it is over."""

    status = 429
    cause = "quota_reached"
    sentence = N_("There is a lot to answer here at the moment. Try again when your last reply is there.")

    def __init__(self, minutes: int | None = None) -> None:
        told = None
        if minutes is not None:
            told = ngettext(
                "No more can be asked here at the moment. Try again in %(count)s minute.",
                "No more can be asked here at the moment. Try again in %(count)s minutes.",
                minutes,
            )
        super().__init__(told)
        self.minutes = minutes


class MethodNotAllowed(RillError):
    status = 405
    cause = "method_not_allowed"
    sentence = N_("This address does not take requests of this kind.")


class ProgramKeyUnknown(RillError):
    """No such key, or one that was revoked or has expired: whoever guesses learns nothing."""

    status = 401
    cause = "key_unknown"
    sentence = N_("This key does not open anything here: it is misspelled, or was revoked, or has expired.")


class ProgramKeyReadsOnly(RillError):
    status = 403
    cause = "key_reads_only"
    sentence = N_("This key may only read. Whoever runs this server can make one that may ask, too.")


class PromptRefused(RillError):
    status = 422
    cause = "prompt_refused"


class PromptEmpty(PromptRefused):
    cause = "prompt_empty"
    sentence = N_("The message is empty. Write something first.")


class PromptTooLong(PromptRefused):
    status = 413
    cause = "prompt_too_long"

    def __init__(self, length_chars: int, limit_chars: int) -> None:
        super().__init__(
            _(
                "The message has %(length)s characters; at most %(limit)s can be sent. Shorten it or send it in parts.",
                length=number(length_chars),
                limit=number(limit_chars),
            )
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


class AttachmentsBusy(AttachmentRefused):
    """A file that could be attached, were not so many being read just now."""

    status = 503
    cause = "attachments_busy"


class ImportRefused(RillError):
    """A file of conversations that cannot be read; the sentence says why."""

    status = 422
    cause = "import_refused"


class ModelNotOffered(RillError):
    status = 422
    cause = "model_not_offered"
    sentence = N_("This model cannot be chosen here. Choose another one and send the message again.")


class TurnRunning(RillError):
    status = 409
    cause = "turn_running"
    sentence = N_("A reply is still being written. Wait for it, or stop it first.")


class TurnNotRunning(RillError):
    """A Stop that came after the end; routes treat it as success."""

    status = 409
    cause = "turn_not_running"
    sentence = N_("This reply has already ended.")


class NothingToRetry(RillError):
    status = 409
    cause = "nothing_to_retry"
    sentence = N_("This reply cannot be tried again here. Reload the page to see how the conversation stands.")


class NothingToEdit(RillError):
    status = 409
    cause = "nothing_to_edit"
    sentence = N_(
        "The message that this was to replace is not there. Reload the page to see how the conversation stands."
    )


class ServerEnding(RillError):
    status = 503
    cause = "server_ending"
    sentence = N_("The server is being restarted. Your message is still here; send it again in a moment.")


class BadRequest(RillError):
    status = 400
    cause = "bad_request"
    sentence = N_("This request could not be understood.")


class BodyTooLarge(RillError):
    status = 413
    cause = "body_too_large"
    sentence = N_("The message is far too long to be sent. Shorten it or send it in parts.")


# Who is told the following sets the server up, or has to ask who does; in English, as its log and its settings are.
class HeadTooLarge(RillError):
    status = 431
    cause = "head_too_large"
    sentence = "The head of this request is too large."


class HostNotAllowed(RillError):
    status = 400
    cause = "host_not_allowed"
    sentence = "This server does not answer to this name. Its operator can list the name in RILL_ALLOWED_HOSTS."


class OriginNotAllowed(RillError):
    status = 403
    cause = "origin_not_allowed"
    sentence = "This request came from another site. The operator can list its origin in RILL_ALLOWED_ORIGINS."


class ImageUnavailable(RillError):
    status = 502
    cause = "image_unavailable"
    sentence = N_("This image cannot be had.")


class AttachmentsUnread(RillError):
    """A turn began, and then the database failed; the prompt is kept, and can be tried again."""

    status = 503
    cause = "attachments_unread"
    sentence = N_("What was attached could not be read, so nothing was sent to the model. Try again.")


class StoreUnavailable(RillError):
    status = 503
    cause = "store_unavailable"
    sentence = N_("The message could not be saved, so nothing was sent to the model. Please try again.")


class ProviderError(RillError):
    """The model could not answer, or not to the end.

    `retry_after_seconds` is how long it wants to be left alone, if it said so.
    """

    status = 502
    cause = "provider_error"
    sentence = N_("The model could not answer.")
    retry_after_seconds: float | None = None


class KeyRejected(ProviderError):
    cause = "key_rejected"
    sentence = N_("The model service rejected this server's key. Whoever runs this server has to check it.")


class ModelUnknown(ProviderError):
    cause = "model_unknown"
    sentence = N_("The model service does not know the model set here. Whoever runs this server has to choose another.")


class TooManyRequests(ProviderError):
    cause = "too_many_requests"
    sentence = N_("The model service is busy or its quota is used up. Wait a moment, then try again.")


class PromptTooLongForModel(ProviderError):
    cause = "too_long_for_model"
    sentence = N_("The conversation has become too long for this model. Start a new one, or shorten the message.")


class RequestRefused(ProviderError):
    cause = "request_refused"
    sentence = N_("The model service refused this request.")


class ImagesRefused(RequestRefused):
    """A request with images in it; most services say in no certain way that it is for these."""

    cause = "images_refused"
    sentence = N_(
        "The model service refused this request. If this model sees no images, choose another one, or delete the "
        "message that has them."
    )


class EndpointFailed(ProviderError):
    cause = "endpoint_failed"
    sentence = N_("The model service had an error of its own. Try again.")


class EndpointUnreachable(ProviderError):
    cause = "endpoint_unreachable"
    sentence = N_("The model service cannot be reached. Try again in a moment.")


class EndpointSilent(ProviderError):
    cause = "endpoint_silent"
    sentence = N_("The model service stopped answering. Try again.")


class TurnTooLong(ProviderError):
    cause = "turn_too_long"
    sentence = N_("The model took longer over this reply than is allowed here, so it was ended.")


class NotAChatEndpoint(ProviderError):
    cause = "not_a_chat_endpoint"
    sentence = N_("What answered at the model's address is no model service. Whoever runs this server has to check it.")


class EmptyReply(ProviderError):
    cause = "empty_reply"
    sentence = N_("The model answered with nothing. Try again.")


class BrokenReply(ProviderError):
    """The stream ended before the model said that it was done."""

    cause = "broken_reply"
    sentence = N_("The connection to the model broke before the reply was whole. Try again.")


class ModelNotReady(ProviderError):
    status = 503
    cause = "model_not_ready"
    sentence = N_("No model is ready to answer.")


class FunctionFailed(ProviderError):
    cause = "function_failed"
    sentence = N_("The reply function of this app failed. Try again; its log says why.")


class SettingsInvalid(RillError):
    cause = "settings_invalid"


_SENTENCES_WITHOUT_ERROR = {
    "length": N_("The reply was cut at the model's length limit."),
    "content_filter": N_("The model's content filter ended this reply."),
    "too_large": N_("The reply grew beyond what is kept here, so it was ended."),
    "interrupted": N_("The server stopped while this was being written. What was written is kept."),
    "not_saved": N_("This reply could not be saved yet. It is tried again and again; copy it if you need it for sure."),
    "internal": N_("Something went wrong here while this was being written. Try again."),
}


def _subclasses(cls: type[RillError]) -> list[type[RillError]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _subclasses(sub))]


def sentence(cause: str) -> str:
    """Say in the reader's words what `Message.cause` names; a cause of a newer version gets a general sentence."""
    by_cause = {cls.cause: cls.sentence for cls in _subclasses(RillError)}
    return _(_SENTENCES_WITHOUT_ERROR.get(cause) or by_cause.get(cause, RillError.sentence))
