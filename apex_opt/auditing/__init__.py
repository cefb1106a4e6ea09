"""Why a spec cannot be met and what would help; or what binds it, and what each limit costs."""
