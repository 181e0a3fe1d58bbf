"""What Alembic runs to migrate: on the connection, and in the transaction, that `webapp.stores.engines` hands over.

Logging is left as it is; whoever starts Rill has set it up.
"""

from __future__ import annotations

from alembic import context

from webapp.stores.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
