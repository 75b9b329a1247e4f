using Archipelago.Runtime;
using Microsoft.Extensions.Logging;

namespace Archipelago.Vlmcd.Volumes;

/// <summary>Background work is awaited by nobody: what nobody expects of it is told here.</summary>
internal sealed partial class VolumeService
{
    /// <summary>A step that is tried again if it fails: an exception is logged, and is EIO to whoever awaits the step.</summary>
    private async Task<int> StepAsync(string volume, string what, Func<Task<int>> step)
    {
        try
        {
            return await step();
        }
        catch (Exception fault)
        {
            _context.Log.LogError(fault, "volume {Volume}: {What} ended in an error of our own: {Error}; it is tried again", volume, what, fault.Message);
            return Errno.EIO;
        }
    }
}
