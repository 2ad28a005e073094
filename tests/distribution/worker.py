"""Run by test_several_devices.py, one process a worker: `tfdistill run`, killed on request in the middle of an epoch."""

import os
import signal
import sys

from tfdistill import cli

recipe, output, dies = sys.argv[1:]
if dies == "dies":
    from tfdistill import training

    on_batch_end = training._Progress.on_train_batch_end

    def killed(self, batch, logs=None):
        if self.steps_before and batch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        on_batch_end(self, batch, logs)

    training._Progress.on_train_batch_end = killed
sys.exit(cli.main(["run", recipe, "--output", output]))
