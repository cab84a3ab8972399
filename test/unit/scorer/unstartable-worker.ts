/** A model worker whose import fails, as where the runtime has no binary for the machine. */
throw new Error('no binding for this machine')
