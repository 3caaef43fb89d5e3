"""The reference implementation's InternVLChatModel under a present-day transformers.

Its repository asks for packages that the model itself does not use (timm, peft, two other language models);
they are stood in for. `checkout` is the folder that holds its package `internvl`.
"""

import importlib.machinery
import sys
import types

import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, Qwen2ForCausalLM  # noqa: F401  before timm is stood in for


def _stand_in(name, **attributes):
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__dict__.update(attributes)
    sys.modules[name] = module


class _Unused:
    pass


def import_reference(checkout):
    """Returns InternVLChatConfig and InternVLChatModel of a checkout."""
    sys.path.insert(0, checkout)
    _stand_in("timm", __path__=[])
    _stand_in("timm.models", __path__=[])
    _stand_in("timm.models.layers", DropPath=torch.nn.Identity)
    _stand_in("peft", LoraConfig=_Unused, get_peft_model=None)
    for name, config, model in [
        ("internlm2", "InternLM2Config", "InternLM2ForCausalLM"),
        ("phi3", "Phi3Config", "Phi3ForCausalLM"),
    ]:
        package = f"internvl.model.{name}"
        _stand_in(f"{package}.configuration_{name}", **{config: _Unused})
        _stand_in(f"{package}.modeling_{name}", **{model: _Unused})
    from internvl.model.internvl_chat.configuration_internvl_chat import InternVLChatConfig
    from internvl.model.internvl_chat.modeling_internvl_chat import InternVLChatModel

    # Newer transformers print the difference from a default, which this class cannot build.
    InternVLChatConfig.has_no_defaults_at_init = True
    return InternVLChatConfig, InternVLChatModel


def load_reference(checkout, folder, dtype=torch.float32):
    """A folder in the original layout; every tensor must find its place."""
    config_class, model_class = import_reference(checkout)
    config = config_class.from_pretrained(folder)
    config.vision_config.use_flash_attn = False
    model = model_class(config)
    model.load_state_dict(load_file(f"{folder}/model.safetensors"), strict=True)
    return model.to(dtype).eval()
