/**
 * Reads a QR code with the camera of this device, inside the page. Pictures stay in it.
 */

/** @typedef {'foreign' | 'denied' | 'no-camera' | 'failed' | 'nothing'} ScanProblem */

/** How often a picture is looked at, in milliseconds. */
export const LOOK_MS = 150;
/** How long nothing may be found, in milliseconds. */
export const LONGEST_SCAN_MS = 120_000;

/**
 * What no type library knows yet.
 * @typedef {object} Detector
 * @property {(source: HTMLVideoElement) => Promise<{rawValue: string}[]>} detect
 */
/** @typedef {{new (options: {formats: string[]}): Detector, getSupportedFormats(): Promise<string[]>}} DetectorType */

/** @returns {DetectorType | undefined} */
function detectorType() {
    return /** @type {any} */ (globalThis).BarcodeDetector;
}

/** @returns {Promise<boolean>} whether this browser can scan */
export async function scannable() {
    try {
        const formats = (await detectorType()?.getSupportedFormats()) ?? [];
        return formats.includes('qr_code') && typeof navigator.mediaDevices?.getUserMedia === 'function';
    } catch {
        return false;
    }
}

/**
 * @typedef {object} Reports
 * @property {(text: string) => void} onText what a code says; called again and again while it is in view
 * @property {(problem: ScanProblem) => void} onOver scanning has come to its end without being stopped
 */

/** One scan, from the first picture to `stop`, or to what ends it. */
export class Scan {
    #video;
    #reports;
    /** @type {MediaStream | null} */
    #stream = null;
    /** @type {Detector | null} */
    #detector = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #next;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #deadline;
    #over = false;

    /**
     * @param {HTMLVideoElement} video shows what the camera sees
     * @param {Reports} reports
     */
    constructor(video, reports) {
        this.#video = video;
        this.#reports = reports;
        this.#deadline = setTimeout(() => this.#end('nothing'), LONGEST_SCAN_MS);
        this.#start().catch((error) => this.#end(problemOf(error)));
    }

    /** Lets the camera go. Nothing is reported any more. */
    stop() {
        this.#over = true;
        clearTimeout(this.#next);
        clearTimeout(this.#deadline);
        this.#stream?.getTracks().forEach((track) => track.stop());
        this.#stream = null;
        this.#video.srcObject = null;
    }

    async #start() {
        const Type = detectorType();
        if (!Type) {
            throw new Error('this browser has no BarcodeDetector');
        }
        this.#detector = new Type({ formats: ['qr_code'] });
        const stream = await navigator.mediaDevices.getUserMedia({
            audio: false,
            video: { facingMode: 'environment', width: { ideal: 1280 }, height: { ideal: 720 } },
        });
        if (this.#over) {
            stream.getTracks().forEach((track) => track.stop());
            return;
        }
        this.#stream = stream;
        stream.getTracks().forEach((track) => track.addEventListener('ended', () => this.#end('failed')));
        this.#video.srcObject = stream;
        this.#video.play().catch(() => {});
        this.#look();
    }

    #look() {
        this.#next = setTimeout(async () => {
            try {
                const found = this.#video.readyState >= 2 ? ((await this.#detector?.detect(this.#video)) ?? []) : [];
                for (const { rawValue } of found) {
                    if (!this.#over) {
                        this.#reports.onText(rawValue);
                    }
                }
            } catch {
                // One picture that cannot be looked at; the next may be better.
            }
            if (!this.#over) {
                this.#look();
            }
        }, LOOK_MS);
    }

    /** @param {ScanProblem} problem */
    #end(problem) {
        if (!this.#over) {
            this.stop();
            this.#reports.onOver(problem);
        }
    }
}

/**
 * @param {unknown} error of getUserMedia
 * @returns {ScanProblem}
 */
function problemOf(error) {
    switch (error instanceof DOMException ? error.name : '') {
        case 'NotAllowedError':
        case 'SecurityError':
            return 'denied';
        case 'NotFoundError':
        case 'OverconstrainedError':
            return 'no-camera';
        default:
            return 'failed';
    }
}
