"""Finding providers: ours and strangers', by the entry-point group `workbench`."""

from __future__ import annotations

from functools import cache

import pluggy

from workbench.model.errors import UsageError
from workbench.plugin import hookspecs
from workbench.plugin.hookspecs import Provider, ProviderStage


@cache
def manager() -> pluggy.PluginManager:
    """The plugins of this process, loaded once."""
    plugins = pluggy.PluginManager("workbench")
    plugins.add_hookspecs(hookspecs)
    plugins.load_setuptools_entrypoints("workbench")
    return plugins


def providers(stage: ProviderStage) -> dict[str, Provider]:
    """The installed providers of a stage by name."""
    brought = [provider for group in manager().hook.workbench_providers() for provider in group]
    return {provider.name: provider for provider in brought if provider.stage == stage}


def find(stage: ProviderStage, choice: str) -> tuple[Provider, str]:
    """The provider and model that `name[/model]` means; UsageError lists what there is."""
    name, _, model = choice.partition("/")
    installed = providers(stage)
    if name not in installed:
        raise UsageError(
            f"no {stage} provider is called {name!r}", f"installed: {', '.join(sorted(installed))}"
        )
    provider = installed[name]
    if not model and not provider.models:
        raise UsageError(f"{stage} provider {name!r} needs a model", f"write {name}/MODEL")
    if model and provider.onboard and provider.models and model not in provider.models:
        raise UsageError(
            f"{stage} provider {name!r} has no model {model!r}", f"it has: {', '.join(provider.models)}"
        )
    return provider, model or provider.models[0]
